"""Exact nearest neighbors."""

import numpy as np
import numpy.typing as npt

from ccpdml.metrics.knn import arrays, scan

MAX_MEMORY_BYTES = 2**29


def nearest(
    query: npt.ArrayLike,
    gallery: npt.ArrayLike | None = None,
    k: int = 10,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest gallery rows of each query, exactly.

    Distances are Euclidean, float64 arithmetic on the float32 embeddings; equally near rows come
    lower gallery index first. Results do not depend on the memory bound.

    Args:
        query: embeddings, float [num_queries, dim].
        gallery: float [gallery_size, dim]; None searches the queries themselves, each without
            itself.
        k: neighbors per query, int in 1..gallery_size (one less if `gallery` is None).
        max_memory_bytes: bound of the working memory, int; on top come the embeddings, some 50
            bytes for each of them, and 2 MiB.

    Returns:
        Indices, int64 [num_queries, k], and distances in the embeddings' unit, float32
        [num_queries, k].

    Raises:
        ValueError: for wrong shapes, values that are not finite, or `k` out of range.
    """
    query, gallery, excluded = arrays.sides(query, gallery)
    most = len(gallery) - (excluded[0] >= 0)
    if not 1 <= k <= most:
        raise ValueError(f"`k` must be in 1..{most}. Received: {k=}")
    task = scan.Task(query, gallery, np.full(len(query), k), excluded)
    indices = np.empty((len(query), k), np.int64)
    distances = np.empty((len(query), k), np.float32)
    for found in scan.scan(task, max_memory_bytes):
        indices[found.queries] = found.columns.reshape(-1, k)
        distances[found.queries] = np.sqrt(found.squared_distances).reshape(-1, k)
    return indices, distances
