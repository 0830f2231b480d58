"""Exact nearest neighbors."""

import concurrent.futures
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ccpdml.metrics.knn import arrays, scan

MAX_MEMORY_BYTES = 2**29
_OVERHEAD_BYTES = 60  # For each gallery row on top of its values, while a part is searched.


def nearest(
    query: npt.ArrayLike,
    gallery: npt.ArrayLike | None = None,
    k: int = 10,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
    on_progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest gallery rows of each query, exactly.

    Distances are Euclidean, float64 arithmetic on the float32 embeddings; equally near rows come
    lower gallery index first. Results do not depend on the memory bound.

    A gallery in a file (`numpy.memmap`) may be larger than the memory: it is read once, a part at a
    time, and of it no more than half of the bound is in memory.

    Args:
        query: embeddings, float [num_queries, dim].
        gallery: float [gallery_size, dim]; None searches the queries themselves, each without
            itself.
        k: neighbors per query, int in 1..gallery_size (one less if `gallery` is None).
        max_memory_bytes: bound of the working memory, int; on top come the embeddings that are in
            memory, some 50 bytes for each of them, and 2 MiB.
        on_progress: function called with a number of gallery rows each time so many were searched.

    Returns:
        Indices, int64 [num_queries, k], and distances in the embeddings' unit, float32
        [num_queries, k].

    Raises:
        ValueError: for wrong shapes, values that are not finite, or `k` out of range.
    """
    if isinstance(gallery, np.memmap):
        found = _in_parts(query, gallery, k, max_memory_bytes, on_progress)
    else:
        query, gallery, excluded = arrays.sides(query, gallery)
        most = len(gallery) - (excluded[0] >= 0)
        if not 1 <= k <= most:
            raise ValueError(f"`k` must be in 1..{most}. Received: {k=}")
        found = _nearest(query, gallery, excluded, k, max_memory_bytes)
        if on_progress is not None:
            on_progress(len(gallery))
    indices, squared = found
    return indices, np.sqrt(squared).astype(np.float32)


def _nearest(query, gallery, excluded, k, max_memory_bytes):
    """Indices, int64, and squared distances, float64, [num_queries, k]."""
    task = scan.Task(query, gallery, np.full(len(query), k), excluded)
    indices = np.empty((len(query), k), np.int64)
    squared = np.empty((len(query), k))
    for found in scan.scan(task, max_memory_bytes):
        indices[found.queries] = found.columns.reshape(-1, k)
        squared[found.queries] = found.squared_distances.reshape(-1, k)
    return indices, squared


def _in_parts(query, gallery, k, max_memory_bytes, on_progress):
    """The same of a gallery that is read a part at a time."""
    query = arrays.embeddings(query, "query")
    if gallery.ndim != 2 or gallery.shape[1] != query.shape[1]:
        raise ValueError(
            "`query` and `gallery` must have the same dim. "
            f"Received: query.shape={query.shape}, gallery.shape={gallery.shape}"
        )
    if not 1 <= k <= len(gallery):
        raise ValueError(f"`k` must be in 1..{len(gallery)}. Received: {k=}")
    indices = np.zeros((len(query), 0), np.int64)
    squared = np.zeros((len(query), 0))
    nothing = np.full(len(query), -1)
    step = max(1, max_memory_bytes // 2 // (8 * gallery.shape[1] + _OVERHEAD_BYTES))
    for start, part in _parts(gallery, step):
        found = _nearest(query, part, nothing, min(k, len(part)), max_memory_bytes // 2)
        # Earlier parts come first, and a stable order keeps the lower index where two are as near.
        indices = np.concatenate([indices, found[0] + start], axis=1)
        squared = np.concatenate([squared, found[1]], axis=1)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        indices = np.take_along_axis(indices, order, axis=1)
        squared = np.take_along_axis(squared, order, axis=1)
        if on_progress is not None:
            on_progress(len(part))
    return indices, squared


def _parts(gallery, step):
    """Starts of parts of a gallery in a file, and the parts; the next one is read meanwhile."""
    # New memory for each part would cost more than reading it.
    memory = np.empty((2, min(step, len(gallery)), gallery.shape[1]), np.float32)

    def read(number):
        rows = gallery[number * step : (number + 1) * step]
        part = memory[number % 2, : len(rows)]
        with np.errstate(over="ignore"):  # Infinite is reported next.
            part[...] = rows
        return arrays.embeddings(part, "gallery")

    num_parts = -(-len(gallery) // step)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, 0)
        for number in range(num_parts):
            part = coming.result()
            if number + 1 < num_parts:
                coming = reader.submit(read, number + 1)
            yield number * step, part
