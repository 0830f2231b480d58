"""Keras layers: normalization, pooling, the embedding head and the multi-proxy head."""

from ccpdml.layers.heads import EmbeddingHead, MultiProxyHead
from ccpdml.layers.normalization import (
    LipschitzNormalization,
    NoNormalization,
    UnitNormalization,
)
from ccpdml.layers.pooling import GlobalPooling

__all__ = [
    "EmbeddingHead",
    "GlobalPooling",
    "LipschitzNormalization",
    "MultiProxyHead",
    "NoNormalization",
    "UnitNormalization",
]
