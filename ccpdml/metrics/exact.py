"""P@1, P@R, MAP@R and R@K: exact, in bounded memory."""

import numpy as np

from ccpdml.metrics import arrays, scan, search
from ccpdml.metrics import matches as matching


def retrieval(
    query,
    query_labels,
    gallery=None,
    gallery_labels=None,
    recall_at=(1,),
    max_memory_bytes=search.MAX_MEMORY_BYTES,
    per_class=False,
):
    """Retrieval metrics of queries against a gallery, averaged over the queries that have a match.

    A match of a query is a gallery row of its class, R is their number, and ranks are by Euclidean
    distance of the embeddings as given (normalize before). P@1: is the nearest row a match. P@R:
    share of matches in the first R. MAP@R: mean over those R ranks of the precision up to the rank
    where it holds a match, 0 elsewhere. R@K: is any match in the first K.

    Ranks are exact: float64 distances of the float32 values, equally near rows lower gallery index
    first. They depend on neither the memory bound nor the number of threads.

    Args:
        query: embeddings, float [num_queries, dim].
        query_labels: [num_queries] or [num_queries, 1].
        gallery: float [gallery_size, dim]; None searches the queries themselves, each without
            itself (by index, so a duplicate of the query stays).
        gallery_labels: [gallery_size] or [gallery_size, 1]; given if and only if `gallery` is.
        recall_at: the K of R@K, ints >= 1.
        max_memory_bytes: bound of the working memory beyond the embeddings, int.
        per_class: whether to add averages over each class of queries.

    Returns:
        Dict of floats 'precision_at_1', 'r_precision', 'mean_average_precision_at_r', 'recall_at_K'
        for each K, and ints 'num_queries' (averaged over) and 'num_lone_queries' (without a match,
        excluded). With `per_class` also 'per_class': 'labels' [num_classes], 'num_queries' and an
        array [num_classes] per metric.

    Raises:
        ValueError: for wrong shapes, values that are not finite, K < 1, or if no query has a match.

    Source: Musgrave et al., A Metric Learning Reality Check (2020), section 3.2.
    """
    values = per_query(query, query_labels, gallery, gallery_labels, recall_at, max_memory_bytes)
    has_match = values.pop("num_matches") > 0
    result = {name: float(value[has_match].mean()) for name, value in values.items()}
    result["num_queries"] = int(has_match.sum())
    result["num_lone_queries"] = int((~has_match).sum())
    if per_class:
        labels = np.asarray(query_labels).reshape(-1)
        result["per_class"] = _class_averages(values, labels, has_match)
    return result


def per_query(
    query,
    query_labels,
    gallery=None,
    gallery_labels=None,
    recall_at=(1,),
    max_memory_bytes=search.MAX_MEMORY_BYTES,
):
    """The metrics of `retrieval` for each query.

    Args: as `retrieval`.

    Returns:
        Dict of float64 [num_queries] (NaN where a query has no match) under the names of
        `retrieval`, and 'num_matches', int [num_queries].
    """
    if not recall_at or min(recall_at) < 1:
        raise ValueError(f"`recall_at` must be ints >= 1. Received: {recall_at=}")
    if (gallery is None) != (gallery_labels is None):
        raise ValueError("`gallery` and `gallery_labels` must be given together. Received: one")
    query, gallery, excluded = arrays.sides(query, gallery)
    query_labels = arrays.labels(query_labels, len(query), "query_labels")
    if gallery_labels is None:
        gallery_labels = query_labels
    gallery_labels = arrays.labels(gallery_labels, len(gallery), "gallery_labels")
    everything = matching.Matches(query, gallery, excluded, query_labels, gallery_labels)
    scored = np.flatnonzero(everything.counts)
    if not scored.size:
        raise ValueError(
            "At least one query must have a match in the gallery. "
            f"Received: num_queries={len(query)}, gallery_size={len(gallery)}"
        )
    values = _scores(everything.take(scored), sorted(set(recall_at)), max_memory_bytes)
    return {"num_matches": everything.counts} | {
        name: _spread(value, scored, len(query)) for name, value in values.items()
    }


def _scores(matches, recall_at, max_memory_bytes):
    """Each metric for queries that all have a match: dict of float64 [num_queries]."""
    few = matches.counts < recall_at[-1]
    reach = matches.nearest_squared_distances(few) if few.any() else None
    task = scan.Task(
        matches.query, matches.gallery, matches.counts, matches.excluded, reach, recall_at[-1]
    )
    parts = [_score_block(matches, found, recall_at) for found in scan.scan(task, max_memory_bytes)]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    first = values.pop("first_match")
    unsure = np.flatnonzero(values.pop("unsure"))
    if unsure.size:
        first[unsure] = _first_matches(matches.take(unsure), recall_at[-1], max_memory_bytes)
    recalls = {f"recall_at_{k}": (first <= k).astype(np.float64) for k in recall_at}
    return values | recalls


def _score_block(matches, found, recall_at):
    """The metrics of one block, the rank of the first match, and whether that rank is unsure."""
    sizes = matches.counts[found.queries]
    starts = np.cumsum(sizes) - sizes
    rows = np.repeat(np.arange(len(sizes)), sizes)
    ranks = np.arange(len(rows)) - starts[rows] + 1
    hits = matches.gallery_labels[found.columns] == matches.query_labels[found.queries][rows]
    hits_so_far = np.cumsum(hits)
    hits_so_far -= (hits_so_far - hits)[starts][rows]
    first = np.minimum.reduceat(np.where(hits, ranks, np.inf), starts)
    first, unsure = _with_counts(first, found.closer, recall_at)
    return {
        "precision_at_1": hits[starts].astype(np.float64),
        "r_precision": np.add.reduceat(hits, starts, dtype=np.float64) / sizes,
        "mean_average_precision_at_r": np.add.reduceat(hits * hits_so_far / ranks, starts) / sizes,
        "first_match": first,
        "unsure": unsure,
    }


def _with_counts(first, closer, recall_at):
    """Ranks of first matches beyond R, from the counts of nearer gallery rows.

    Args:
        first: rank of the first match, inf beyond R, float64 [n].
        closer: as `scan.Found.closer`.
        recall_at: ints; a rank matters only by which of them it reaches.

    Returns:
        Ranks, float64 [n], and whether the counts leave open which K they reach, bool [n].
    """
    if closer is None:
        return first, np.zeros(len(first), bool)
    beyond = np.isinf(first)
    least, most = closer
    open_at = [(least < k) & (k < most) for k in recall_at]
    return np.where(beyond, most, first), beyond & np.any(open_at, axis=0)


def _first_matches(matches, depth, max_memory_bytes):
    """Rank of each query's first match among its `depth` nearest, else inf, float64 [n]."""
    available = len(matches.gallery) - (matches.excluded >= 0)
    sizes = np.minimum(depth, available)
    task = scan.Task(matches.query, matches.gallery, sizes, matches.excluded)
    first = np.empty(len(sizes))
    for found in scan.scan(task, max_memory_bytes):
        size = sizes[found.queries][0]
        labels = matches.gallery_labels[found.columns].reshape(-1, size)
        hits = labels == matches.query_labels[found.queries, None]
        first[found.queries] = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    return first


def _spread(values, places, size):
    spread = np.full(size, np.nan)
    spread[places] = values
    return spread


def _class_averages(values, labels, has_match):
    """Averages of float64 [num_queries] metrics over each class of the queries with a match."""
    names, rows = np.unique(labels[has_match], return_inverse=True)
    counts = np.bincount(rows)
    averages = {
        name: np.bincount(rows, value[has_match]) / counts for name, value in values.items()
    }
    return {"labels": names, "num_queries": counts} | averages
