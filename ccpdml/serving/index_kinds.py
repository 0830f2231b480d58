"""Approximate indices of faiss and usearch, made of embeddings."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

_BLOCK = 2**16  # Vectors that are added at a time.
_PER_CENTROID = 39  # Vectors that faiss wants to learn a centroid from, at least.
_PER_LIST = 64  # Vectors that the centroid of a list is learned from; more take longer, for little.


class Index(Protocol):
    """An approximate index of vectors, by their row."""

    file_name: str
    setting: str
    """What trades time for recall, by the library's name."""
    values: Sequence[int]
    """Values of it to try, the fastest first."""

    def set(self, value: int) -> None: ...

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Rows of the `k` nearest of each query as far as they are found, int64 [n, k]."""

    def search_exactly(self, queries: np.ndarray, k: int) -> np.ndarray:
        """The same by the library's own exact search, for its time."""

    def write(self, folder: Path) -> None: ...


class FaissHnsw:
    """Graph of neighbors (HNSW) of faiss: quick and near to exact; holds all vectors in memory."""

    file_name: str = "index.faiss"
    setting: str = "efSearch"
    values: Sequence[int] = tuple(2**power for power in range(4, 12))

    def __init__(self, embeddings: np.ndarray):
        self.embeddings = embeddings
        self.index = _faiss().IndexHNSWFlat(embeddings.shape[1], 32)
        self.index.hnsw.efConstruction = 128
        for start in range(0, len(embeddings), _BLOCK):
            self.index.add(embeddings[start : start + _BLOCK])

    def set(self, value):
        self.index.hnsw.efSearch = value

    def search(self, queries, k):
        return self.index.search(queries, k)[1]

    def search_exactly(self, queries, k):
        return _faiss().knn(queries, self.embeddings, k)[1]

    def write(self, folder):
        _faiss().write_index(self.index, str(folder / self.file_name))


class FaissIvfPq:
    """Inverted lists of compressed vectors (IVF-PQ) of faiss: a few bytes a vector, less exact.

    Args:
        embeddings: float32 [n, dim].
        code_bytes: of each vector, a divisor of dim; None takes dim / 4, 16 bytes for 64 numbers.

    Raises:
        ValueError: if there are too few vectors to learn centroids from, or `code_bytes` does not
            divide dim.
    """

    file_name: str = "index.faiss"
    setting: str = "nprobe"
    values: Sequence[int]

    def __init__(self, embeddings: np.ndarray, code_bytes: int | None = None):
        num_vectors, dim = embeddings.shape
        if num_vectors < 256 * _PER_CENTROID:
            raise ValueError(
                f"IVF-PQ learns 256 centroids from {256 * _PER_CENTROID} vectors or more; take "
                f"HNSW, or search exactly. Received: {num_vectors} vectors"
            )
        code_bytes = max(1, dim // 4) if code_bytes is None else code_bytes
        if dim % code_bytes:
            raise ValueError(
                f"`code_bytes` must divide the {dim} numbers of a vector. Received: {code_bytes=}"
            )
        lists = min(4 * int(num_vectors**0.5), num_vectors // _PER_CENTROID)
        self.values = tuple(2**power for power in range(lists.bit_length()))
        self.embeddings = embeddings
        self.index = _faiss().index_factory(dim, f"IVF{lists},PQ{code_bytes}")
        rng = np.random.default_rng(0)
        most = min(num_vectors, max(256 * _PER_CENTROID, _PER_LIST * lists))
        self.index.train(embeddings[np.sort(rng.choice(num_vectors, most, replace=False))])
        for start in range(0, num_vectors, _BLOCK):
            self.index.add(embeddings[start : start + _BLOCK])

    def set(self, value):
        self.index.nprobe = value

    search, search_exactly, write = FaissHnsw.search, FaissHnsw.search_exactly, FaissHnsw.write


class Usearch:
    """Graph of neighbors (HNSW) of usearch, whose file can be searched without being loaded."""

    file_name: str = "index.usearch"
    setting: str = "expansion_search"
    values: Sequence[int] = FaissHnsw.values

    def __init__(self, embeddings: np.ndarray):
        self.embeddings = embeddings
        self.index = _usearch().Index(ndim=embeddings.shape[1], metric="l2sq", dtype="f32")
        for start in range(0, len(embeddings), _BLOCK):
            block = embeddings[start : start + _BLOCK]
            self.index.add(np.arange(start, start + len(block)), block)

    def set(self, value):
        self.index.expansion_search = value

    def search(self, queries, k):
        found = self.index.search(queries, k)
        if len(queries) == 1:
            found = [found]
        rows = np.full((len(queries), k), -1, np.int64)
        for row, each in zip(rows, found, strict=True):
            row[: len(each)] = each.keys
        return rows

    def search_exactly(self, queries, k):
        return _usearch().search(self.embeddings, queries, k, "l2sq", exact=True)

    def write(self, folder):
        self.index.save(str(folder / self.file_name))


KINDS: dict[str, Callable[..., Index]] = {
    "faiss_hnsw": FaissHnsw,
    "faiss_ivf_pq": FaissIvfPq,
    "usearch": Usearch,
}
"""Kinds of indices, by name."""


def _faiss():
    return _imported("faiss")


def _usearch():
    return _imported("usearch.index")


def _imported(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"pip install 'ccpdml[index]' brings {name}: {error}") from error
