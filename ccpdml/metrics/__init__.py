"""Exact retrieval metrics in bounded memory, diagnostics of the geometry; no TensorFlow.

exact       the metrics of queries against a gallery, and their averages
scoring     from the nearest rows of a query to its metrics
matches     which gallery rows are of a query's class
knn         the search for the nearest rows, a room of its own
names       one key and one label for each metric
geometry    how embeddings and proxies lie in space
collapse    what is wrong with a geometry
gain        what training has made better or worse
summary     what the scores of several runs say together
"""

from ccpdml.metrics import collapse, gain, geometry, names
from ccpdml.metrics.exact import average, per_query, retrieval
from ccpdml.metrics.knn import nearest
from ccpdml.metrics.summary import summarize

__all__ = [
    "average",
    "collapse",
    "gain",
    "geometry",
    "names",
    "nearest",
    "per_query",
    "retrieval",
    "summarize",
]
