"""The gallery passes blocks of queries, tile by tile; see the docstring of this room."""

import concurrent.futures
import dataclasses

import numpy as np

from ccpdml.metrics.knn import blas, candidates, copies, memory, space


@dataclasses.dataclass(frozen=True)
class Task:
    """A search: its queries, its gallery, and how many neighbors are wanted.

    Attributes:
        query, gallery: float32 [num_queries, dim], [gallery_size, dim].
        sizes: gallery rows wanted per query, int [num_queries]; at least 1, at most what is there.
        excluded: gallery index that a query must not find (itself) or -1, int [num_queries].
        count_within: squared distance per query within which to count gallery rows, float64
            [num_queries], or None; -inf counts nothing.
        count_limit: counts above this need not be right, int.
    """

    query: np.ndarray
    gallery: np.ndarray
    sizes: np.ndarray
    excluded: np.ndarray
    count_within: np.ndarray | None = None
    count_limit: int = 0


@dataclasses.dataclass(frozen=True)
class Found:
    """The nearest gallery rows of some queries, nearest first, equally near ones by index.

    Attributes:
        queries: a slice of the queries; the next arrays are over them, each `sizes` long, joined.
        columns: gallery indices, int [num_entries].
        squared_distances: float64 [num_entries].
        num_within: how many gallery rows are nearer than `Task.count_within`, at least, and how
            many are as near, at most: int [num_queries in the slice] each; None if not asked for.
    """

    queries: slice
    columns: np.ndarray
    squared_distances: np.ndarray
    num_within: tuple[np.ndarray, np.ndarray] | None


def scan(task, max_memory_bytes):
    """Yields `Found` for every query once, in order.

    Args:
        task: `Task`.
        max_memory_bytes: as of `metrics.retrieval`.
    """
    deepest = max(int(task.sizes.max()), min(task.count_limit, len(task.gallery)))
    plan = memory.Plan(task.sizes, deepest, task.gallery.shape, max_memory_bytes)
    with blas.one_thread_each(), concurrent.futures.ThreadPoolExecutor(plan.num_threads) as pool:
        score_space = space.ScoreSpace(task.query, task.gallery, pool.map)
        kept = copies.first_copies(task.gallery, deepest + 1, score_space.squared_norms)
        for batch in plan.batches():
            blocks = [_Block(task, score_space, queries) for queries in batch]
            for start in range(0, len(kept), plan.slab_width):
                slab = _Slab(task, score_space, kept[start : start + plan.slab_width], plan.width)
                _wait_for(pool.map(slab.prepare, slab.tiles))
                _wait_for(pool.map(slab.pass_by, blocks))
            yield from pool.map(_Block.found, blocks)


def _wait_for(results):
    """Until all threads are done; raises what a thread raised."""
    for _ in results:
        pass


class _Slab:
    """Tiles of the gallery that all queries see before the next ones are prepared."""

    def __init__(self, task, score_space, columns, width):
        self.task, self.score_space, self.columns = task, score_space, columns
        self.side = np.empty((len(columns), task.gallery.shape[1] + 1), np.float32)
        self.tiles = [slice(start, start + width) for start in range(0, len(columns), width)]

    def prepare(self, tile):
        columns = self.columns[tile]
        first, last = columns[0], columns[-1]
        chosen = slice(first, last + 1) if last - first == len(columns) - 1 else columns
        squared_norms = self.score_space.squared_norms[chosen]
        rows = self.task.gallery[chosen]
        self.score_space.fill_gallery_side(self.side[tile], rows, squared_norms)

    def pass_by(self, block):
        for tile in self.tiles:
            block.see(block.side @ self.side[tile].T, self.columns[tile])


class _Block:
    """The part of a task that one thread handles at a time."""

    def __init__(self, task, score_space, queries):
        self.task, self.queries = task, queries
        self.sizes, self.excluded = task.sizes[queries], task.excluded[queries]
        self.side = score_space.query_side(task.query[queries])
        self.counter = None
        if task.count_within is not None:
            lowest = score_space.scores_at(task.query[queries], task.count_within[queries])
            self.counter = candidates.Counter(lowest, score_space.slack, task.count_limit)
        self.candidates = candidates.Candidates(self.sizes, score_space.slack, self.counter)

    def see(self, scores, columns):
        places = np.minimum(np.searchsorted(columns, self.excluded), len(columns) - 1)
        rows = np.flatnonzero(columns[places] == self.excluded)
        scores[rows, places[rows]] = -np.inf
        self.candidates.see(scores, columns)
        if self.candidates.is_crowded():
            self.candidates.held, _ = self._nearest()

    def found(self):
        held, distances = self._nearest()
        counter = self.counter
        num_within = (counter.at_least, counter.at_most) if counter else None
        return Found(self.queries, held["column"], distances, num_within)

    def _nearest(self):
        """The candidates that are nearest so far, exactly, in order; and their distances."""
        held = self.candidates.prune()
        rows, columns = held["row"], held["column"]
        query = self.task.query[self.queries]
        distances = space.squared_distances(query, self.task.gallery, rows, columns)
        order = np.lexsort((columns, distances, rows))
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        order = order[ranks < self.sizes[rows]]
        return held[order], distances[order]
