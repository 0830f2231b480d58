"""Distances of all pairs of labelled embeddings, block by block, classes beside each other."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ccpdml.metrics import checks
from ccpdml.metrics.knn import MAX_MEMORY_BYTES, arrays

_BYTES_PER_PAIR = 32  # of a block: distances, what they are made of, comparisons


@dataclasses.dataclass(frozen=True)
class Classes:
    """Embeddings sorted by class.

    Attributes:
        rows: float32 [n, dim].
        owner: place of the class of each row, int64 [n], ascending.
        starts, sizes: first row and number of rows of each class, int64 [num_classes].
        max_memory_bytes: bound of the working memory, int.
    """

    rows: np.ndarray
    owner: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    max_memory_bytes: int

    @property
    def num_positive(self) -> int:
        """Pairs of images of one class, int."""
        return int((self.sizes * (self.sizes - 1)).sum()) // 2

    @property
    def num_negative(self) -> int:
        """Pairs of images of different classes, int."""
        return len(self.rows) * (len(self.rows) - 1) // 2 - self.num_positive


@dataclasses.dataclass(frozen=True)
class Block:
    """Squared distances of some rows to all rows from the first of their class on.

    Attributes:
        rows: a slice of the rows.
        first: the row that the first column is of, int.
        squared: float64 [num_rows, n - first].
    """

    rows: slice
    first: int
    squared: np.ndarray


def by_class(
    embeddings: npt.ArrayLike, labels: npt.ArrayLike, max_memory_bytes: int = MAX_MEMORY_BYTES
) -> Classes:
    """Sorts embeddings by class.

    Args:
        embeddings: float [n, dim].
        labels: [n] or [n, 1].
        max_memory_bytes: bound of the working memory of what follows, int; at the least it is
            what one row takes. On top comes a copy of the embeddings.

    Raises:
        ValueError: for wrong shapes, values that are not finite, or if there are no pairs of one
            class or none of different classes.
    """
    rows = arrays.embeddings(embeddings, "embeddings")
    names, places = np.unique(checks.labels(labels, len(rows), "labels"), return_inverse=True)
    order = np.argsort(places, kind="stable")
    sizes = np.bincount(places, minlength=len(names))
    starts = np.cumsum(sizes) - sizes
    if len(names) < 2 or sizes.max() < 2:
        raise ValueError(
            "Expected two classes or more, and two images or more of one of them. "
            f"Received: {len(rows)} images of {len(names)} classes"
        )
    return Classes(rows[order], places[order], starts, sizes, max_memory_bytes)


def blocks(classes: Classes, whole: bool = False) -> Iterator[Block]:
    """The distances of all pairs, float64 arithmetic on the float32 embeddings.

    Args:
        classes: as of `by_class`.
        whole: whether the columns of every block are all rows, not those from the first row of
            the block's first class on.

    Yields:
        Blocks of ascending rows: of whole classes, or of a part of one that is large.
    """
    center, lengths = _centered(classes)
    for rows in _cut(classes):
        first = 0 if whole else int(classes.starts[classes.owner[rows.start]])
        moved = classes.rows[rows] - center
        squared = np.empty((len(moved), len(lengths) - first))
        for part in _parts(classes):
            columns = slice(max(part.start, first), part.stop)
            if columns.start < part.stop:
                place = slice(columns.start - first, columns.stop - first)
                squared[:, place] = moved @ (classes.rows[columns] - center).T
        squared *= -2.0
        squared += lengths[rows, None]
        squared += lengths[first:]
        np.maximum(squared, 0.0, out=squared)
        squared[np.arange(len(moved)), np.arange(rows.start, rows.stop) - first] = 0.0
        yield Block(rows, first, squared)


def bound(classes: Classes) -> float:
    """A squared distance that none of them exceeds."""
    return 4.0 * float(_centered(classes)[1].max())


def _centered(classes):
    """The mean, float64 [dim], and squared distances of the rows to it, float64 [n]."""
    center = classes.rows.mean(axis=0, dtype=np.float64)
    return center, np.concatenate(
        [_lengths(classes.rows[part] - center) for part in _parts(classes)]
    )


def _cut(classes):
    """Slices of the rows: as many whole classes as fit, or a part of one."""
    most = max(1, int(classes.max_memory_bytes) // (_BYTES_PER_PAIR * len(classes.rows)))
    ends = classes.starts + classes.sizes
    start = 0
    while start < len(classes.rows):
        own = classes.owner[start]
        stop = min(start + most, int(ends[own]))
        if start == classes.starts[own] and stop == ends[own]:
            stop = int(ends[ends <= start + most][-1])
        yield slice(start, stop)
        start = stop


def _parts(classes):
    """Slices of the rows that become float64 one at a time."""
    step = max(1, 2**20 // classes.rows.shape[1])
    n = len(classes.rows)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _lengths(rows):
    return np.einsum("ij,ij->i", rows, rows)
