"""Checks of the embeddings that are given to a search."""

import numpy as np

from ccpdml.metrics.knn import space


def sides(query, gallery):
    """Checked query and gallery, and the gallery index each query must not find (-1: none).

    Args:
        query: float [num_queries, dim].
        gallery: float [gallery_size, dim], or None for the queries themselves.

    Returns:
        Float32 [num_queries, dim], float32 [gallery_size, dim], int64 [num_queries].

    Raises:
        ValueError: for wrong shapes or values that are not finite.
    """
    query = embeddings(query, "query")
    if gallery is None:
        return query, query, np.arange(len(query))
    gallery = embeddings(gallery, "gallery")
    if gallery.shape[1] != query.shape[1]:
        raise ValueError(
            "`query` and `gallery` must have the same dim. "
            f"Received: query.shape={query.shape}, gallery.shape={gallery.shape}"
        )
    return query, gallery, np.full(len(query), -1)


def embeddings(values, name):
    """`values` as float32 [n, dim], all finite, n and dim at least 1."""
    with np.errstate(over="ignore"):  # too large for float32: infinite, reported below
        values = np.asarray(values, np.float32)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(
            f"`{name}` must be [n, dim] with n, dim >= 1. Received: {name}.shape={values.shape}"
        )
    finite = sum(np.isfinite(values[part]).all(axis=1).sum() for part in space.parts(*values.shape))
    if finite < len(values):
        raise ValueError(
            f"`{name}` must be finite. Received: {len(values) - finite} of {len(values)} rows "
            "with NaN or infinite values"
        )
    return values
