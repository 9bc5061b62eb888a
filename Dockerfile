# The main job in a container, on processors:
#     docker build -t navigen . && docker run --rm -v navigen-runs:/work navigen
# Any other command, on the same runs: docker run --rm -v navigen-runs:/work navigen navigen-compare --help
FROM python:3.11-slim

WORKDIR /source
COPY requirements.txt .
# torch's own index has builds without CUDA; for a GPU: docker build --build-arg TORCH_INDEX= -t navigen .
ARG TORCH_INDEX="--extra-index-url https://download.pytorch.org/whl/cpu"
RUN pip install --no-cache-dir ${TORCH_INDEX} -r requirements.txt
COPY setup.py pyproject.toml README.md LICENSE MANIFEST.in ./
COPY recbole_navigen recbole_navigen
COPY properties properties
RUN pip install --no-cache-dir --no-deps . && useradd --create-home navigen && mkdir /work && chown navigen /work

USER navigen
WORKDIR /work
CMD ["navigen", "--dataset=ml-100k"]
