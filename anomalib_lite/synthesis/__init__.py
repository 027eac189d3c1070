"""Synthetic anomalies and masks that detectors train on, shared by all of them."""

from anomalib_lite.synthesis.anomalies import SOURCES, Anomalies
from anomalib_lite.synthesis.draw import Draw
from anomalib_lite.synthesis.filling import pull_push
from anomalib_lite.synthesis.foreground import foreground
from anomalib_lite.synthesis.masks import discs, grid_cells, squares, strokes
from anomalib_lite.synthesis.noise import perlin, procedural_textures
from anomalib_lite.synthesis.superpixels import shapes, superpixels
from anomalib_lite.synthesis.textures import TextureFolder
from anomalib_lite.synthesis.variation import vary

__all__ = [
    "SOURCES",
    "Anomalies",
    "Draw",
    "TextureFolder",
    "discs",
    "foreground",
    "grid_cells",
    "perlin",
    "procedural_textures",
    "pull_push",
    "shapes",
    "squares",
    "strokes",
    "superpixels",
    "vary",
]
