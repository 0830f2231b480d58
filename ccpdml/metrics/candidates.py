"""What is known about a few queries while the gallery streams past them, tile by tile."""

import numpy as np

GROUP = 16  # the first guess of the k-th best score looks at the best of every 16


class Candidates:
    """Gallery rows that may be among each query's nearest.

    Args:
        sizes: gallery rows wanted per query, int [num_rows], all >= 1.
        slack: scores that differ by less may be in the wrong order, float.
    """

    def __init__(self, sizes, slack):
        self.sizes, self.slack = sizes, slack
        self.floor = None
        self.held = _entries([], [], [])
        self.waiting = []

    def see(self, scores, columns):
        """Takes float32 [num_rows, width] scores of the gallery rows `columns`, int [width]."""
        if self.floor is None:
            self.floor = _reached(scores, self.sizes) - np.float32(self.slack)
        flat = np.flatnonzero(scores > self.floor[:, None])
        rows, places = np.divmod(flat, scores.shape[1])
        self.waiting.append(_entries(rows, columns[places], scores.ravel()[flat]))
        if sum(map(len, self.waiting)) > len(self.held) + self.sizes.sum():
            self.prune()

    def prune(self):
        """Drops what cannot be among the nearest any more; returns entries sorted by row."""
        held = np.concatenate([self.held, *self.waiting])
        held = held[np.argsort(4.0 * held["row"] - held["score"])]  # scores lie within +-1.5
        ends = np.searchsorted(held["row"], np.arange(len(self.sizes)), side="right")
        starts = np.concatenate([[0], ends[:-1]])
        full = np.flatnonzero(ends - starts >= self.sizes)
        worst_kept = held["score"][starts[full] + self.sizes[full] - 1]
        self.floor[full] = np.maximum(self.floor[full], worst_kept - np.float32(self.slack))
        self.held, self.waiting = held[held["score"] > self.floor[held["row"]]], []
        return self.held


class Counter:
    """Counts the gallery rows whose score is above a given one: at least, and at most.

    Args:
        reached: float64 [num_rows], the score to beat.
        slack: as in `Candidates`.
    """

    def __init__(self, reached, slack):
        self.above = (reached + slack).astype(np.float32)[:, None]
        self.below = (reached - slack).astype(np.float32)[:, None]
        self.least = np.zeros(len(reached), np.int64)
        self.most = np.zeros(len(reached), np.int64)

    def see(self, scores):
        """Takes float32 [num_rows, width]."""
        mask = np.zeros((len(scores), -(-scores.shape[1] // 8) * 8), bool)
        flags = mask[:, : scores.shape[1]]
        np.greater(scores, self.above, out=flags)
        self.least += count_true(mask)
        np.greater_equal(scores, self.below, out=flags)
        self.most += count_true(mask)


def count_true(mask):
    """Flags set in each row of bool [num_rows, width]; width a multiple of 8, at most 2040.

    Eight flags at a time are added as one integer, whose bytes hold up to 255 each: several times
    faster than `np.count_nonzero(mask, axis=1)`.
    """
    lanes = mask.view(np.uint64).sum(axis=1)
    return lanes.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)


def _reached(scores, sizes):
    """A score per row that at least `sizes` of its entries reach (-inf: not known)."""
    width = 1 if sizes.max() * 2 * GROUP > scores.shape[1] else GROUP
    num_groups = scores.shape[1] // width
    grouped = scores[:, : num_groups * width].reshape(len(scores), num_groups, width)
    best = np.sort(grouped.max(axis=2), axis=1)
    known = np.take_along_axis(best, np.maximum(num_groups - sizes, 0)[:, None], axis=1)[:, 0]
    return np.where(sizes <= num_groups, known, np.float32(-np.inf))


def _entries(rows, columns, scores):
    entries = np.empty(len(rows), [("score", np.float32), ("row", np.int32), ("column", np.int64)])
    entries["score"], entries["row"], entries["column"] = scores, rows, columns
    return entries
