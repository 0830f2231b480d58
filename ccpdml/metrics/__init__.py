"""Exact retrieval metrics in bounded memory; NumPy only."""

from ccpdml.metrics.exact import per_query, retrieval
from ccpdml.metrics.search import nearest

__all__ = ["nearest", "per_query", "retrieval"]
