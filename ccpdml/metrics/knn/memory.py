"""The cut of a scan into blocks that fit a memory budget."""

import itertools
import os

import numpy as np

MAX_WIDTH = 1024  # gallery rows per tile
ROWS_PER_THREAD = 1024  # queries whose scores one thread computes and looks at
MAX_THREADS = 16  # beyond, Python's lock would be the bottleneck
MAX_TILES = 16  # per slab: threads wait for each other after each of them
TILE_BYTES = 24  # per value of a tile: read, moved, rounded
SCORE_BYTES = 64  # per score: itself, masks, and the indices if all of them pass
ENTRY_BYTES = 100  # per gallery row that a query asks for, while sorted


class Plan:
    """Tile width, slab width and batches of queries.

    Args:
        sizes: gallery rows wanted per query, int [num_queries].
        deepest: most rows that a later scan of the same arrays may want of a query, int.
        gallery_shape: (gallery_size, dim).
        max_memory_bytes: int; a quarter goes to a slab, to scores and to a batch of queries.

    Raises:
        ValueError: if not even one query against eight gallery rows fits.
    """

    def __init__(self, sizes, deepest, gallery_shape, max_memory_bytes):
        gallery_size, dim = gallery_shape
        self.query_bytes = 8 * (dim + 32) + ENTRY_BYTES * np.asarray(sizes, np.int64)
        most_bytes = 8 * (dim + 32) + ENTRY_BYTES * deepest
        self.share = int(max_memory_bytes) // 4
        tile_row = TILE_BYTES * (dim + 1)
        smallest = 4 * max(8 * tile_row, 8 * SCORE_BYTES, most_bytes)
        if max_memory_bytes < smallest:
            raise ValueError(
                f"`max_memory_bytes` must be at least {smallest} for these arrays. "
                f"Received: {max_memory_bytes=}"
            )
        widest = min(MAX_WIDTH, self.share // tile_row, self.share // SCORE_BYTES, gallery_size + 7)
        self.width = widest // 8 * 8
        self.slab_width = self.width * max(1, min(MAX_TILES, self.share // (tile_row * self.width)))
        self.num_threads = min(MAX_THREADS, os.cpu_count() or 1)
        most_rows = self.share // (SCORE_BYTES * self.width)
        self.num_threads = min(self.num_threads, most_rows)
        self.num_rows = min(ROWS_PER_THREAD, most_rows // self.num_threads)

    def batches(self):
        """Yields lists of blocks; a block is a slice of queries."""
        batch_of = (np.cumsum(self.query_bytes) - 1) // self.share
        edges = [0, *(np.flatnonzero(np.diff(batch_of)) + 1), len(batch_of)]
        for start, stop in itertools.pairwise(edges):
            # As many blocks as threads, or a multiple of it: no thread is left without one.
            rounds = -(-(stop - start) // (self.num_rows * self.num_threads))
            step = -(-(stop - start) // (rounds * self.num_threads))
            yield [slice(first, min(first + step, stop)) for first in range(start, stop, step)]
