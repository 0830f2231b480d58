"""Keras layers: normalization, pooling, the embedding head and the multi-proxy head."""

from ccpdml.layers.contracts import BuiltIn
from ccpdml.layers.heads import EmbeddingHead, MultiProxyHead
from ccpdml.layers.normalization import (
    LipschitzNormalization,
    NoNormalization,
    UnitNormalization,
)
from ccpdml.layers.pooling import GlobalPooling

__all__ = [
    "BuiltIn",
    "EmbeddingHead",
    "GlobalPooling",
    "LipschitzNormalization",
    "MultiProxyHead",
    "NoNormalization",
    "UnitNormalization",
]
