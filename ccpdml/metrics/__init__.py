"""Exact retrieval metrics in bounded memory, diagnostics of the geometry; no TensorFlow.

exact       the metrics of queries against a gallery, and their averages
scoring     from the nearest rows of a query to its metrics
matches     the gallery rows that a query is to find
relations   which rows match: of one class, or with a label in common
knn         the search for the nearest rows, a room of its own
names       one key and one label for each metric
geometry    how embeddings and proxies lie in space
collapse    what is wrong with a geometry
gain        what training has made better or worse
summary     what the scores of several runs say together
pairs       the distances of all pairs of images, class by class
verification, class_rates  FMR, FNMR, precision and F1 of thresholds, and where other classes lie
recognition   are queries of unknown classes told apart from those of known ones
consistency   does one threshold serve all classes
"""

from ccpdml.metrics import class_rates, collapse, gain, geometry, names, verification
from ccpdml.metrics.consistency import opis
from ccpdml.metrics.exact import average, per_query, retrieval
from ccpdml.metrics.knn import nearest
from ccpdml.metrics.recognition import OpenSet, open_set
from ccpdml.metrics.summary import summarize
from ccpdml.metrics.verification import Curve, curve, fnmr_at_fmr

__all__ = [
    "Curve",
    "OpenSet",
    "average",
    "class_rates",
    "collapse",
    "curve",
    "fnmr_at_fmr",
    "gain",
    "geometry",
    "names",
    "nearest",
    "open_set",
    "opis",
    "per_query",
    "retrieval",
    "summarize",
    "verification",
]
