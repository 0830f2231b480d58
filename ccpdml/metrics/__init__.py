"""Exact retrieval metrics in bounded memory, diagnostics of the geometry; no TensorFlow."""

from ccpdml.metrics import collapse, geometry, names
from ccpdml.metrics.exact import average, per_query, retrieval
from ccpdml.metrics.knn import nearest
from ccpdml.metrics.summary import summarize

__all__ = [
    "average",
    "collapse",
    "geometry",
    "names",
    "nearest",
    "per_query",
    "retrieval",
    "summarize",
]
