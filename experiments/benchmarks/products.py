"""The fastest way of this machine to multiply embeddings: what an exact search is measured by."""

import concurrent.futures
import functools
import os
import statistics
import time

import numpy as np
import tensorflow as tf
import threadpoolctl

TRIAL = (4096, 32_768)
REPEATS = 3


def fastest(query, gallery):
    """The fastest of `ways` on a part of these arrays; prints what each takes.

    Args:
        query, gallery: float32 [num_queries, dim], [gallery_size, dim].

    Returns:
        Its name, and a function of such arrays that multiplies all of them and keeps nothing.
    """
    part = query[: TRIAL[0]], np.array(gallery[: TRIAL[1]])
    seconds = {name: [] for name in ways()}
    for _ in range(REPEATS):
        for name, multiply in ways().items():
            started = time.perf_counter()
            multiply(*part)
            seconds[name].append(time.perf_counter() - started)
    operations = 2 * len(part[0]) * part[1].size
    for name, taken in seconds.items():
        print(f"  {operations / statistics.median(taken) / 1e9:6.0f} GFLOP/s: {name}")
    best = min(seconds, key=lambda name: statistics.median(seconds[name]))
    print(f"fastest product: {best}", flush=True)
    return best, ways()[best]


@functools.cache
def ways():
    """Functions of (query, gallery) by name."""
    libraries = {
        "NumPy, all threads on each product": by_numpy,
        "NumPy, one thread on each product": by_threads,
        "TensorFlow": by_tensorflow,
    }
    return {
        f"{name}, tiles of {rows} x {width}": functools.partial(way, rows, width)
        for name, way in libraries.items()
        for rows, width in ((512, 1024), (1024, 2048), (4096, 8192))
    }


def by_numpy(rows, width, query, gallery):
    tile = np.empty(rows * width, np.float32)
    for start in range(0, len(gallery), width):
        columns = gallery[start : start + width]
        for first in range(0, len(query), rows):
            part = query[first : first + rows]
            shape = len(part), len(columns)
            np.matmul(part, columns.T, out=tile[: np.prod(shape)].reshape(shape))


def by_threads(rows, width, query, gallery):
    num_threads = os.cpu_count()
    share = -(-len(query) // num_threads)
    parts = [query[first : first + share] for first in range(0, len(query), share)]
    limit = threadpoolctl.threadpool_limits(1, user_api="blas")
    with limit, concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(functools.partial(by_numpy, rows, width), parts, [gallery] * len(parts)))


def by_tensorflow(rows, width, query, gallery):
    parts = [tf.constant(query[first : first + rows]) for first in range(0, len(query), rows)]
    for start in range(0, len(gallery), width):
        columns = tf.constant(gallery[start : start + width])
        for part in parts:
            tf.linalg.matmul(part, columns, transpose_b=True)
