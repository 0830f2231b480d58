"""Candidates: the rows that may be nearest, while the gallery streams past, tile by tile."""

import functools

import numpy as np

GROUP = 16  # the first guess of the k-th best score looks at the best of every 16


class Candidates:
    """Gallery rows that may be among each query's nearest.

    Args:
        sizes: gallery rows wanted per query, int [num_rows], all >= 1.
        slack: scores that differ by less may be in the wrong order, float.
        counter: `Counter` that is shown every score that matters to it, or None.

    Attributes:
        cut_off: score at or below which a gallery row is not among the nearest, float32 [num_rows];
            None before the first tile.
        held: the candidates, sorted by row once `prune` was called.
        waiting: lists of candidates since then.
    """

    def __init__(self, sizes, slack, counter=None):
        self.sizes, self.slack = sizes, np.float32(slack)
        self.counter = counter
        self.cut_off = None
        self.held = _entries([], [], [])
        self.waiting = []

    def see(self, scores, columns):
        """Takes float32 [num_rows, width] scores of the gallery rows `columns`, int [width]."""
        if self.cut_off is None:
            self.cut_off = _surely_reached(scores, self.sizes) - self.slack
        lowest = self.cut_off
        if self.counter:
            lowest = np.minimum(lowest, self.counter.perhaps)
        # Most queries find nothing in most tiles: their best score tells.
        rows = np.flatnonzero(scores.max(axis=1) > lowest)
        scores = scores[rows]
        flat = np.flatnonzero(scores > lowest[rows, None])
        places = flat % scores.shape[1]
        rows = rows[flat // scores.shape[1]]
        values = scores.ravel()[flat]
        if self.counter:
            self.counter.see(rows, values)
            high = values > self.cut_off[rows]
            rows, places, values = rows[high], places[high], values[high]
        self._add(_entries(rows, columns[places], values))

    def prune(self):
        """Drops what cannot be among the nearest any more; returns entries sorted by row."""
        held = np.concatenate([self.held, *self.waiting])
        held = held[np.argsort(4.0 * held["row"] - held["score"])]  # scores lie within +-1.5
        ends = np.searchsorted(held["row"], np.arange(len(self.sizes)), side="right")
        starts = np.concatenate([[0], ends[:-1]])
        full = np.flatnonzero(ends - starts >= self.sizes)
        worst_kept = held["score"][starts[full] + self.sizes[full] - 1]
        self.cut_off[full] = np.maximum(self.cut_off[full], worst_kept - self.slack)
        self.held, self.waiting = held[held["score"] > self.cut_off[held["row"]]], []
        return self.held

    def is_crowded(self):
        """Tells whether so many rows are about equally far that exact distances must decide."""
        return len(self.held) > 2 * self.sizes.sum() + 8 * len(self.sizes)

    def _add(self, entries):
        self.waiting.append(entries)
        if sum(map(len, self.waiting)) > len(self.held) + self.sizes.sum():
            self.prune()


class Counter:
    """Counts the gallery rows that score higher than a given score: at least and at most so many.

    Args:
        lowest: that score of each query, float64 [num_rows].
        slack: as of `Candidates`.
        limit: a query is not counted for any further once it has surely more rows than this, int.

    Attributes:
        surely, perhaps: a row with a score above the one is surely nearer, above the other perhaps;
            float32 [num_rows].
        at_least, at_most: the counts so far, int [num_rows].
    """

    def __init__(self, lowest, slack, limit):
        self.limit = limit
        self.surely = (lowest + slack).astype(np.float32)
        self.perhaps = (lowest - slack).astype(np.float32)
        self.at_least = np.zeros(len(lowest), np.int64)
        self.at_most = np.zeros(len(lowest), np.int64)

    def see(self, rows, scores):
        """Takes all scores above `perhaps` so far unseen, any order; lower ones do no harm."""
        count = functools.partial(np.bincount, minlength=len(self.at_least))
        self.at_most += count(rows[scores > self.perhaps[rows]])
        self.at_least += count(rows[scores > self.surely[rows]])
        self.perhaps[self.at_least > self.limit] = np.inf


def _surely_reached(scores, sizes):
    """A score per row that at least `sizes` of its entries reach (-inf: not known)."""
    width = 1 if sizes.max() * 2 * GROUP > scores.shape[1] else GROUP
    num_groups = scores.shape[1] // width
    grouped = scores[:, : num_groups * width].reshape(len(scores), width, num_groups)
    best = np.sort(grouped.max(axis=1), axis=1)
    known = np.take_along_axis(best, np.maximum(num_groups - sizes, 0)[:, None], axis=1)[:, 0]
    return np.where(sizes <= num_groups, known, np.float32(-np.inf))


def _entries(rows, columns, scores):
    entries = np.empty(len(rows), [("score", np.float32), ("row", np.int32), ("column", np.int64)])
    entries["score"], entries["row"], entries["column"] = scores, rows, columns
    return entries
