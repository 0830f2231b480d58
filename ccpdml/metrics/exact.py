"""P@1, P@R, MAP@R and R@K: exact, in bounded memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ccpdml.metrics import checks, names, relations, scoring
from ccpdml.metrics.knn import MAX_MEMORY_BYTES, arrays
from ccpdml.metrics.matches import Matches


def retrieval(
    query: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    gallery: npt.ArrayLike | None = None,
    gallery_labels: npt.ArrayLike | None = None,
    recall_at: Sequence[int] = (1,),
    max_memory_bytes: int = MAX_MEMORY_BYTES,
    per_class: bool = False,
) -> dict[str, Any]:
    """Retrieval metrics of queries against a gallery, averaged over the queries that have a match.

    A match of a query is a gallery row of its class, or where there are several labels of each one
    that shares a label with it. R is their number, and ranks are by Euclidean distance of the
    embeddings as given (normalize before). P@1: is the nearest row a match. P@R: share of matches
    in the first R. MAP@R: mean over those R ranks of the precision up to the rank where it holds a
    match, 0 elsewhere. R@K: is any match in the first K.

    Ranks are exact: float64 distances of the float32 values, equally near rows lower gallery index
    first. They depend on neither the memory bound nor the number of threads.

    Args:
        query: embeddings, float [num_queries, dim].
        query_labels: classes, [num_queries] or [num_queries, 1]; or several labels of each, bool
            [num_queries, num_labels].
        gallery: float [gallery_size, dim]; None searches the queries themselves, each without
            itself (by index, so a duplicate of the query stays).
        gallery_labels: likewise, of the gallery; given if and only if `gallery` is.
        recall_at: the K of R@K, ints >= 1.
        max_memory_bytes: bound of the working memory, int; on top come the embeddings, some 50
            bytes for each of them, and 2 MiB. Of several labels, all matches of 256 queries as
            well.
        per_class: whether to add averages over each class of queries; not of several labels.

    Returns:
        `names.Scores`: floats 'precision_at_1', 'r_precision', 'mean_average_precision_at_r' (also
        found as 'map_at_r', its key elsewhere), 'recall_at_K' for each K, and ints 'num_queries'
        (averaged over) and 'num_lone_queries' (without a match, excluded). With `per_class` also
        'per_class': 'labels' [num_classes], 'num_queries' and an array [num_classes] per metric.

    Raises:
        ValueError: for wrong shapes, values that are not finite, K < 1, or if no query has a match.

    Source: Musgrave et al., A Metric Learning Reality Check (2020), section 3.2.
    """
    values = per_query(query, query_labels, gallery, gallery_labels, recall_at, max_memory_bytes)
    return average(values, query_labels if per_class else None)


def average(values: dict[str, Any], labels: npt.ArrayLike | None = None) -> dict[str, Any]:
    """Averages what `per_query` returned over the queries that have a match.

    Args:
        values: dict of `per_query`; of several parts of the queries, joined.
        labels: [num_queries] or [num_queries, 1], to add averages over classes; or None.

    Returns:
        As `retrieval`.

    Raises:
        ValueError: if no query has a match.
    """
    has_match = values["num_matches"] > 0
    if not has_match.any():
        raise ValueError(
            "At least one query must have a match in the gallery. "
            f"Received: {len(has_match)} queries without"
        )
    scores = {name: v[has_match] for name, v in values.items() if name != "num_matches"}
    result = {name: float(score.mean()) for name, score in scores.items()}
    result["num_queries"] = int(has_match.sum())
    result["num_lone_queries"] = int((~has_match).sum())
    if labels is not None:
        labels = checks.labels(labels, len(has_match), "labels")
        result["per_class"] = _class_averages(scores, labels[has_match])
    return names.Scores(result)


def per_query(
    query: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    gallery: npt.ArrayLike | None = None,
    gallery_labels: npt.ArrayLike | None = None,
    recall_at: Sequence[int] = (1,),
    max_memory_bytes: int = MAX_MEMORY_BYTES,
    part: slice = slice(None),
) -> dict[str, Any]:
    """The metrics of `retrieval` for each query.

    Several workers can each score a `part`; the parts, joined, go to `average`.

    Args:
        query, query_labels, gallery, gallery_labels, recall_at, max_memory_bytes: as `retrieval`.
        part: slice of the queries to score.

    Returns:
        Dict of float64 [num_queries in the part] (NaN where a query has no match) under the names
        of `retrieval`, and 'num_matches', int [num_queries in the part].

    Raises:
        ValueError: as `retrieval`, but queries without matches are none.
    """
    recall_at = tuple(recall_at)
    if not recall_at or min(recall_at) < 1:
        raise ValueError(f"`recall_at` must be ints >= 1. Received: {recall_at=}")
    if (gallery is None) != (gallery_labels is None):
        raise ValueError("`gallery` and `gallery_labels` must be given together. Received: one")
    query, gallery, excluded = arrays.sides(query, gallery)
    query_labels = checks.classes_or_several(query_labels, len(query), "query_labels")
    if gallery_labels is None:
        gallery_labels = query_labels
    gallery_labels = checks.classes_or_several(gallery_labels, len(gallery), "gallery_labels")
    matches = Matches(query, gallery, excluded, relations.of(query_labels, gallery_labels))
    matches = matches.take(np.arange(len(query))[part])
    cutoffs = sorted(set(recall_at))
    values = {name: np.full(len(matches.counts), np.nan) for name in names.keys(cutoffs)}
    scored = np.flatnonzero(matches.counts)
    if scored.size:
        scores = scoring.scores(matches.take(scored), cutoffs, max_memory_bytes)
        for name, score in scores.items():
            values[name][scored] = score
    return names.Scores(values | {"num_matches": matches.counts})


def _class_averages(scores, labels):
    classes, rows = np.unique(labels, return_inverse=True)
    counts = np.bincount(rows)
    averages = {name: np.bincount(rows, score) / counts for name, score in scores.items()}
    return {"labels": classes, "num_queries": counts} | averages
