"""Keras layers: normalization, pooling, the embedding head and the multi-proxy head."""

from ccpdml.layers.contracts import BuiltIn
from ccpdml.layers.heads import EmbeddingHead, MultiProxyHead
from ccpdml.layers.normalization import (
    LipschitzNormalization,
    NoNormalization,
    UnitNormalization,
)
from ccpdml.layers.pooling import GeneralizedMeanPooling, GlobalPooling
from ccpdml.layers.sum_pooling import GeneralizedSumPooling

__all__ = [
    "BuiltIn",
    "EmbeddingHead",
    "GeneralizedMeanPooling",
    "GeneralizedSumPooling",
    "GlobalPooling",
    "LipschitzNormalization",
    "MultiProxyHead",
    "NoNormalization",
    "UnitNormalization",
]
