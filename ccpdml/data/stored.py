"""Vectors in memory-mapped files, of which only the rows in use are read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

BLOCK = 2**14
"""Rows that are read at a time where all are."""


class StoredVectors:
    """Rows of memory-mapped arrays, chosen and in an order of their own.

    Indexed as an array is, it reads those rows. `select` reads nothing.

    Args:
        shards: arrays [n_i, dim], or [n_i, views, dim] of several views of each image, one after
            the other; floats, all of one shape but for n_i.
        rows: which rows of all shards together, int64 [n]; None is all.

    Attributes:
        shape: (n, dim) or (n, views, dim).
        dtype: float32, which rows are read as.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, shards: Sequence[npt.NDArray[Any]], rows: np.ndarray | None = None):
        self.shards = tuple(shards)
        self._ends = np.cumsum([len(shard) for shard in self.shards])
        self.rows = np.arange(self._ends[-1]) if rows is None else np.asarray(rows, np.int64)
        self.shape = (len(self.rows), *self.shards[0].shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self):
        return len(self.rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), BLOCK):
            yield from self[start : start + BLOCK]

    def __getitem__(self, indices) -> np.ndarray:
        rows = self.rows[indices]
        wanted = np.atleast_1d(rows)
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        places = np.searchsorted(self._ends, wanted, side="right")
        for place in np.unique(places):
            mine = places == place
            shard = self.shards[place]
            found[mine] = shard[wanted[mine] - (self._ends[place] - len(shard))]
        return found if np.ndim(rows) else found[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Reads all rows."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def select(self, indices: npt.ArrayLike) -> Self:
        """The rows at `indices` (int [k]), not read yet."""
        return type(self)(self.shards, self.rows[np.asarray(indices, np.int64)])

    def first_views(self) -> Self:
        """The first view of each image, [n, dim], not read yet."""
        return type(self)([shard[:, 0] for shard in self.shards], self.rows)

    def joined(self, other: "StoredVectors") -> Self:
        """These rows and another's after them, not read yet."""
        rows = np.concatenate([self.rows, other.rows + self._ends[-1]])
        return type(self)(self.shards + other.shards, rows)


def open_shards(paths: Sequence[Path]) -> StoredVectors:
    """Maps `.npy` files as the shards of one array.

    Raises:
        ValueError: if one is no array of floats [n, dim] or [n, views, dim], or the shapes or
            values do not fit together; names the file.
    """
    shards: list[npt.NDArray[Any]] = []
    for path in paths:
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: expected an array without pickles. {error}") from error
        first = shards[0] if shards else shard
        is_one = shard.ndim in (2, 3) and shard.dtype.kind == "f" and shard.size
        if not is_one or shard.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{path}: expected floats [n, dim] or [n, views, dim], of one shape in all files. "
                f"Received: {shard.dtype} {shard.shape}, {first.shape} in {paths[0].name}"
            )
        check_finite(path, shard)
        shards.append(shard)
    return StoredVectors(shards)


def check_finite(path: Path, vectors: npt.NDArray[Any]) -> None:
    """Raises ValueError at a vector that is not finite; names file and row."""
    for start in range(0, len(vectors), BLOCK):
        with np.errstate(over="ignore"):  # Wider floats that float32 does not hold are infinite.
            is_finite = np.isfinite(vectors[start : start + BLOCK].astype(np.float32))
        if not is_finite.all():
            rows = np.flatnonzero(~is_finite.reshape(len(is_finite), -1).all(axis=1))
            raise ValueError(
                f"{path}: expected finite vectors. Received: nan or inf, first in row "
                f"{start + rows[0]}"
            )
