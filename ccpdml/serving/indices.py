"""Approximate indices of other libraries, measured against the exact search."""

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ccpdml import files, metrics
from ccpdml.serving.embeddings import Embeddings
from ccpdml.serving.index_kinds import KINDS

RECALL_AT = (1, 10, 100)
MOST_MATCHES = 1000
"""MAP@R is measured on queries with at most so many matches."""
_REPEATS = 3  # Of the search that is timed.


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measures of an index with one value of its setting.

    Attributes:
        value: of the setting.
        recalls: share of the K nearest that are among the K found, float by K of `RECALL_AT`.
        map_at_r: of what is found; None where no classes are known.
        microseconds: for one query of ten neighbors, asked together with the others.
    """

    value: int
    recalls: dict[int, float]
    map_at_r: float | None
    microseconds: float


@dataclasses.dataclass(frozen=True)
class Report:
    """Measures of an index beside the exact search.

    Attributes:
        kind: key of `KINDS`.
        setting: of the index, by its library's name.
        num_vectors, dim, num_queries: ints.
        measured: `Measured` of each value that was tried, the fastest first; the last is what the
            index is written with.
        wanted: the share of the 10 nearest that was asked for.
        is_reached: whether the last value finds it.
        exact_map_at_r: of the exact search; None where no classes are known.
        exact_microseconds: of the library's own exact search, as of `Measured`.
        num_bytes: of the file.
        build_seconds: to make the index.
    """

    kind: str
    setting: str
    num_vectors: int
    dim: int
    num_queries: int
    measured: tuple[Measured, ...]
    wanted: float
    is_reached: bool
    exact_map_at_r: float | None
    exact_microseconds: float
    num_bytes: int
    build_seconds: float

    def lines(self) -> Iterator[str]:
        """A table in text."""
        per_vector = self.num_bytes / self.num_vectors
        yield (
            f"{self.kind}: {self.num_vectors:,} vectors of {self.dim} numbers, "
            f"{self.num_bytes / 2**20:,.1f} MiB, {per_vector:,.0f} bytes each; made in "
            f"{self.build_seconds:,.1f} s, asked {self.num_queries:,} of its own vectors"
        )
        heads = [self.setting, *(f"recall@{k}" for k in RECALL_AT), "MAP@R", "us/query"]
        yield _line(heads)
        for each in self.measured:
            yield _row(each.value, each.recalls.values(), each.map_at_r, each.microseconds)
        ones = [1.0] * len(RECALL_AT)
        yield _row("exact", ones, self.exact_map_at_r, self.exact_microseconds)
        if not self.is_reached:
            best = self.measured[-1].recalls[10]
            yield (
                f"NOT REACHED: recall@10 of {self.wanted:g}; at most {best:.4f}. Take more bytes a "
                "vector, or another kind."
            )


def build(
    gallery: Embeddings,
    folder: str | Path,
    kind: str = "faiss_hnsw",
    recall: float = 0.95,
    num_queries: int = 1000,
    code_bytes: int | None = None,
) -> Report:
    """Makes an approximate index of embeddings, tuned until it finds what is wanted.

    What it finds are rows of the gallery: `gallery.paths` are their files. Queries are drawn of the
    gallery itself and do not count what they are.

    Args:
        gallery: what is to be found.
        folder: to make, with the index and `index.json`, the report.
        kind: key of `KINDS`; needs `pip install 'ccpdml[index]'`.
        recall: wanted share of the 10 nearest, in (0, 1].
        num_queries: to measure with, int of at least 1; all where the gallery has no more.
        code_bytes: of each vector, int, for `faiss_ivf_pq` alone; see `index_kinds.FaissIvfPq`.

    Raises:
        FileExistsError: if the folder is there.
        ImportError: if the library is not installed.
        ValueError: if an argument is out of range, or the gallery too small.
    """
    _check(len(gallery), kind, recall, num_queries, code_bytes)
    options = {} if code_bytes is None else {"code_bytes": code_bytes}
    files.refuse_existing(Path(folder))
    embeddings = np.ascontiguousarray(gallery.embeddings, np.float32)
    sample = np.random.default_rng(0).permutation(len(gallery))[:num_queries]
    started = time.perf_counter()
    index = KINDS[kind](embeddings, **options)
    seconds = time.perf_counter() - started
    truth = _Truth(embeddings, gallery.classes, np.sort(sample))
    measured = tuple(_tune(index, truth, recall))
    with files.filling(folder) as made:
        index.write(made)
        report = Report(
            kind=kind,
            setting=index.setting,
            num_vectors=len(embeddings),
            dim=embeddings.shape[1],
            num_queries=len(sample),
            measured=measured,
            wanted=recall,
            is_reached=measured[-1].recalls[10] >= recall,
            exact_map_at_r=truth.map_at_r(truth.nearest),
            exact_microseconds=_microseconds(index.search_exactly, truth.queries),
            num_bytes=(made / index.file_name).stat().st_size,
            build_seconds=seconds,
        )
        text = json.dumps(dataclasses.asdict(report) | {"encoder": gallery.info["encoder"]})
        (made / "index.json").write_text(text + "\n")
    return report


def _check(num_vectors, kind, recall, num_queries, code_bytes):
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: {kind=}")
    if not 0 < recall <= 1:
        raise ValueError(f"`recall` must be above 0 and at most 1. Received: {recall=}")
    if num_queries < 1:
        raise ValueError(f"`num_queries` must be at least 1. Received: {num_queries=}")
    if num_vectors <= max(RECALL_AT):
        raise ValueError(
            f"An index is for more than {max(RECALL_AT)} vectors. Received: {num_vectors}"
        )
    if code_bytes is not None and kind != "faiss_ivf_pq":
        raise ValueError(f"`code_bytes` goes with `faiss_ivf_pq`. Received: {kind=}")


def _tune(index, truth, recall):
    """Measures value after value, until one finds what is wanted."""
    for value in index.values:
        index.set(value)
        found = {k: truth.without_self(index.search(truth.queries, k + 1)) for k in RECALL_AT}
        recalls = {k: truth.recall(rows) for k, rows in found.items()}
        deep = truth.without_self(index.search(truth.queries, truth.depth + 1))
        elapsed = _microseconds(index.search, truth.queries)
        yield Measured(value, recalls, truth.map_at_r(deep), elapsed)
        if recalls[10] >= recall:
            return


def _microseconds(search, queries):
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        search(queries, 10)
        times.append(time.perf_counter() - started)
    return 1e6 * float(np.median(times)) / len(queries)


class _Truth:
    """The exact neighbors of a sample of rows, and what others are worth beside them.

    Attributes:
        queries: float32 [num_queries, dim].
        depth: rows that are searched for MAP@R, int.
        nearest: the `depth` nearest of each, int64 [num_queries, depth].
    """

    def __init__(self, embeddings: np.ndarray, classes: npt.ArrayLike, sample: np.ndarray):
        self.sample, self.queries = sample, embeddings[sample]
        names, self.labels, sizes = np.unique(
            np.asarray(classes), return_inverse=True, return_counts=True
        )
        matches = np.where(names[self.labels[sample]] == "", 0, sizes[self.labels[sample]] - 1)
        self.matches = np.where(matches <= MOST_MATCHES, matches, 0)
        self.depth = max(*RECALL_AT, int(self.matches.max()))
        nearest, _ = metrics.nearest(self.queries, embeddings, self.depth + 1)
        self.nearest = self.without_self(nearest)

    def without_self(self, rows):
        """Drops the query itself, or else the last, of rows int64 [num_queries, k + 1]."""
        is_self = rows == self.sample[:, None]
        is_self[~is_self.any(axis=1), -1] = True
        return rows[~is_self].reshape(len(rows), -1)

    def recall(self, found):
        """Share of the nearest that are found, of as many, float."""
        k = found.shape[1]
        exact = self.nearest[:, :k]
        return float(np.mean([np.isin(e, f).mean() for e, f in zip(exact, found, strict=True)]))

    def map_at_r(self, found):
        """MAP@R of rows int64 [num_queries, depth], -1 for none; None without classes."""
        counted = self.matches > 0
        if not counted.any():
            return None
        found, matches = found[counted], self.matches[counted][:, None]
        own = self.labels[self.sample[counted]][:, None]
        ranks = np.arange(1, found.shape[1] + 1)
        hits = (self.labels[found] == own) & (found >= 0) & (ranks <= matches)
        precisions = np.cumsum(hits, axis=1) / ranks
        return float(np.mean(np.sum(precisions * hits, axis=1) / matches[:, 0]))


def _row(value, recalls, map_at_r, microseconds):
    cells = [f"{value}", *(f"{each:.4f}" for each in recalls)]
    cells += ["" if map_at_r is None else f"{map_at_r:.4f}", f"{microseconds:,.0f}"]
    return _line(cells)


def _line(cells):
    return "".join(f"{cell:>18}" if not i else f"{cell:>12}" for i, cell in enumerate(cells))
