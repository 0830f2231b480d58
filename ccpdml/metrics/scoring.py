"""Scores of queries, from their nearest rows."""

import numpy as np

from ccpdml.metrics.knn import scan


def scores(matches, recall_at, max_memory_bytes):
    """Computes each metric of each query.

    Args:
        matches: `Matches` whose queries all have one.
        recall_at: the K of R@K, increasing ints.
        max_memory_bytes: as of `scan.scan`.

    Returns:
        Dict of float64 [num_queries] by the keys of `names`.
    """
    # R rows are searched. Where K is larger, a first match beyond them has the rank that the count
    # of rows within the distance of the nearest match gives.
    deeper = matches.counts < recall_at[-1]
    nearest = matches.nearest_squared_distances(deeper) if deeper.any() else None
    task = scan.Task(
        matches.query, matches.gallery, matches.counts, matches.excluded, nearest, recall_at[-1]
    )
    parts = [_score_block(matches, found, recall_at) for found in scan.scan(task, max_memory_bytes)]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    first = values.pop("first_match")
    undecided = np.flatnonzero(values.pop("undecided"))
    if undecided.size:
        first[undecided] = _first_matches(matches.take(undecided), recall_at[-1], max_memory_bytes)
    recalls = {f"recall_at_{k}": (first <= k).astype(np.float64) for k in recall_at}
    return values | recalls


def _score_block(matches, found, recall_at):
    """The metrics of one block, the rank of the first match, and whether that rank is undecided."""
    sizes = matches.counts[found.queries]
    starts = np.cumsum(sizes) - sizes
    rows = np.repeat(np.arange(len(sizes)), sizes)
    ranks = np.arange(len(rows)) - starts[rows] + 1
    hits = matches.hits(found.queries, rows, found.columns)
    hits_so_far = np.cumsum(hits)
    hits_so_far -= (hits_so_far - hits)[starts][rows]
    first = np.minimum.reduceat(np.where(hits, ranks, np.inf), starts)
    first, undecided = _with_counts(first, found.num_within, recall_at)
    return {
        "precision_at_1": hits[starts].astype(np.float64),
        "r_precision": np.add.reduceat(hits, starts, dtype=np.float64) / sizes,
        "map_at_r": np.add.reduceat(hits * hits_so_far / ranks, starts) / sizes,
        "first_match": first,
        "undecided": undecided,
    }


def _with_counts(first, num_within, recall_at):
    """Ranks of first matches beyond R, from counts of the gallery rows up to them.

    Args:
        first: rank of the first match, inf beyond R, float64 [n].
        num_within: as `scan.Found.num_within`.
        recall_at: ints; a rank matters only by which of them it reaches.

    Returns:
        Ranks, float64 [n], and whether the counts leave open which K they reach, bool [n].
    """
    if num_within is None:
        return first, np.zeros(len(first), bool)
    at_least, at_most = num_within
    beyond = np.isinf(first) & (at_most > 0)  # a counted match counts itself
    open_at = [(at_least < k) & (k < at_most) for k in recall_at]
    return np.where(beyond, at_most, first), beyond & np.any(open_at, axis=0)


def _first_matches(matches, depth, max_memory_bytes):
    """Rank of each query's first match among its `depth` nearest, else inf, float64 [n]."""
    available = len(matches.gallery) - (matches.excluded >= 0)
    sizes = np.minimum(depth, available)
    task = scan.Task(matches.query, matches.gallery, sizes, matches.excluded)
    first = np.empty(len(sizes))
    for found in scan.scan(task, max_memory_bytes):
        size = sizes[found.queries][0]
        rows = np.arange(len(found.columns)) // size
        hits = matches.hits(found.queries, rows, found.columns).reshape(-1, size)
        first[found.queries] = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    return first
