"""Exact retrieval metrics in bounded memory, and diagnostics of the geometry; NumPy only."""

from ccpdml.metrics import collapse, geometry
from ccpdml.metrics.exact import average, per_query, retrieval
from ccpdml.metrics.search import nearest

__all__ = ["average", "collapse", "geometry", "nearest", "per_query", "retrieval"]
