"""RecBole-NaviGen: a generative recommender for RecBole that also writes prompts for image and video models.

Importing this package costs nothing: RecBole and torch are loaded by the modules that use them.
"""

__version__ = "0.1.0"
