"""Slow and plain: every distance in float64, every gallery sorted."""

import numpy as np


def order(query, gallery=None):
    """Gallery indices of each query, nearest first, ties by index; a list of arrays."""
    references = query if gallery is None else gallery
    orders = []
    for row, point in enumerate(query.astype(np.float64)):
        distances = ((references.astype(np.float64) - point) ** 2).sum(axis=1)
        ranked = np.argsort(distances, kind="stable")
        orders.append(ranked[ranked != row] if gallery is None else ranked)
    return orders


def retrieval(query, query_labels, gallery=None, gallery_labels=None, recall_at=(1,)):
    """What `metrics.retrieval` returns."""
    labels = query_labels if gallery is None else gallery_labels
    rows = []
    for label, ranked in zip(query_labels, order(query, gallery), strict=True):
        if labels.ndim == 2:  # Several labels of each.
            hits = (labels[ranked] & label).any(axis=1).astype(np.float64)
        else:
            hits = (labels[ranked] == label).astype(np.float64)
        num_matches = int(hits.sum())
        if num_matches == 0:
            continue
        top = hits[:num_matches]
        precisions = np.cumsum(top) / np.arange(1, num_matches + 1)
        row = [hits[0], top.mean(), (precisions * top).mean()]
        rows.append(row + [hits[:k].max() for k in recall_at])
    names = ["precision_at_1", "r_precision", "mean_average_precision_at_r"]
    names += [f"recall_at_{k}" for k in recall_at]
    result = dict(zip(names, np.mean(rows, axis=0), strict=True))
    return result | {"num_queries": len(rows), "num_lone_queries": len(query) - len(rows)}
