"""Results of a search, as a table, a CSV file and a page."""

import collections
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ccpdml import files
from ccpdml.reports import search_page, spreadsheets
from ccpdml.serving.embeddings import Embeddings

UNKNOWN = "unknown"
COLUMNS = ("query", "query_class", "rank", "path", "class", "distance", "similarity", "right")


@dataclasses.dataclass(frozen=True)
class Results:
    """The nearest images of some queries, nearest first.

    Attributes:
        queries, gallery: `Embeddings` of both sides.
        indices: rows of the gallery, int64 [num_queries, k].
        distances: Euclidean, in the embeddings' unit, float32 [num_queries, k].
        threshold: distance within which an image says what a query is; None: nothing is asked.
        votes: of how many images, int in 1..k.
        unknown: answer where none is within.
    """

    queries: Embeddings
    gallery: Embeddings
    indices: np.ndarray
    distances: np.ndarray
    threshold: float | None = None
    votes: int = 1
    unknown: str = UNKNOWN

    @property
    def similarities(self) -> np.ndarray:
        """`1 - distance² / 2`, the cosine for embeddings of length 1; float32 [num_queries, k]."""
        return 1 - self.distances**2 / 2

    @property
    def within(self) -> np.ndarray:
        """Found images within the threshold, bool [num_queries, k]; all where there is none."""
        limit = np.inf if self.threshold is None else self.threshold
        return self.distances <= np.float32(limit)

    @property
    def answers(self) -> np.ndarray:
        """The class of each query, or `unknown`, by those within the threshold; str [n]."""
        classes, within = self.gallery.classes[self.indices], self.within
        votes = (classes[:, : self.votes], within[:, : self.votes])
        return np.array([self._answer(*each) for each in zip(*votes, strict=True)], str)

    def _answer(self, classes, within):
        # The first of those with the most votes is the nearest.
        counts = collections.Counter(classes[within].tolist())
        return counts.most_common(1)[0][0] if counts else self.unknown

    @property
    def right(self) -> np.ma.MaskedArray:
        """Matches: found images that are of the query's class; masked where one is not known."""
        wanted, found = self.queries.classes[:, None], self.gallery.classes[self.indices]
        return np.ma.array(found == wanted, mask=(found == "") | (wanted == ""))

    def rows(self) -> Iterator[tuple[object, ...]]:
        """A tuple per found image, as `COLUMNS` names them, and then the answer if one is asked."""
        answers = self.answers.tolist()
        yes_or_no, similarities = np.ma.filled(self.right.astype(int), -1), self.similarities
        for i, found in enumerate(self.indices):
            for rank, j in enumerate(found):
                yield (
                    str(self.queries.paths[i]),
                    str(self.queries.classes[i]),
                    rank + 1,
                    str(self.gallery.paths[j]),
                    str(self.gallery.classes[j]),
                    f"{self.distances[i, rank]:.6f}",
                    f"{similarities[i, rank]:.6f}",
                    ("no", "yes", "")[yes_or_no[i, rank]],
                    *([] if self.threshold is None else [answers[i]]),
                )

    def table(self, max_queries: int = 10) -> Iterator[str]:
        """Lines of text for people, of a few queries: of as many classes as there can be."""
        marks = np.ma.filled(self.right.astype(int), -1)
        shown, answers = in_turn(self.queries.classes, max_queries), self.answers
        for i in shown:
            name = self.queries.classes[i]
            answer = "" if self.threshold is None else f": {answers[i]}"
            known = f" ({name})" if name else ""
            yield _line(f"{self.queries.paths[i]}{known}{answer}")
            for rank, j in enumerate(self.indices[i]):
                mark = ("✗", "✓", " ")[marks[i, rank]]
                yield _line(
                    f"  {rank + 1:>3}  {self.distances[i, rank]:.4f} {mark} "
                    f"{self.gallery.classes[j]:<16} {self.gallery.paths[j]}"
                )
        if len(self.queries) > len(shown):
            yield self._say_shown(shown)
        yield self.summary()

    def summary(self) -> str:
        """Counts in a sentence how many of the nearest images are right."""
        nearest = self.right[:, 0].compressed()
        queries = "1 query" if len(self.queries) == 1 else f"{len(self.queries)} queries"
        searched = f"{queries} among {len(self.gallery)} image{'s' * (len(self.gallery) != 1)}"
        if self.threshold is not None:
            unknown = int((~self.within[:, : self.votes].any(axis=1)).sum())
            searched += f"; {unknown} unknown, without an image within {self.threshold:.4g}"
        if not len(nearest):
            return f"{searched}; their classes are not known."
        return (
            f"{searched}; the nearest image is of the query's class for {nearest.sum()} of the "
            f"{len(nearest)} whose class is known ({100 * nearest.mean():.1f} %)."
        )

    def write_csv(self, path: str | Path) -> None:
        """Writes a row per found image."""
        columns = COLUMNS if self.threshold is None else (*COLUMNS, "answer")
        files.write_text(path, spreadsheets.comma_separated(columns, self.rows()))

    def write_page(self, path: str | Path, max_queries: int = 100) -> None:
        """Writes an HTML page with the pictures in it.

        Args:
            path: the page.
            max_queries: queries on it at most, int from 1; of as many classes as there can be.
        """
        shown = in_turn(self.queries.classes, max_queries)
        found = self.indices[shown]
        search_page.write_page(
            path,
            _columns(self.queries, shown),
            _columns(self.gallery, found),
            self.distances[shown],
            self.right[shown],
            [self.summary(), self._say_shown(shown)],
            None if self.threshold is None else self._verdicts(shown),
        )

    def _verdicts(self, shown):
        """Answers of some queries, whether they are unknown, and which images are near enough."""
        answers, within = self.answers[shown], self.within[shown]
        return answers, answers == self.unknown, within

    def _say_shown(self, shown):
        """Says in a sentence which queries are shown."""
        if len(shown) == len(self.queries):
            return "All queries are shown."
        said = f"Shown are {len(shown)} of the {len(self.queries)} queries"
        every = set(self.queries.classes.tolist()) - {""}
        classes, counts = np.unique(self.queries.classes[shown], return_counts=True)
        counts = counts[classes != ""]
        if len(every) < 2 or not len(counts):
            return f"{said}."
        each = f"{counts.min()} to {counts.max()}" if np.ptp(counts) else f"{counts.max()}"
        some = "" if len(counts) == len(every) else f"{len(counts)} of "
        return f"{said}: {each} of each of {some}the {len(every)} classes."


def in_turn(classes: np.ndarray, most: int) -> np.ndarray:
    """Chooses at most `most` entries, in turn from each class.

    Args:
        classes: names, str [n].
        most: int from 1.

    Returns:
        Their places in ascending order, int64 [min(n, most)]. Where the last turn is not complete,
        its classes are spread over all in it.
    """
    labels = np.unique(classes, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    turns = np.empty_like(order)
    turns[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    num_full = np.searchsorted(np.cumsum(np.bincount(turns)), most, side="right")
    chosen, rest = np.flatnonzero(turns < num_full), np.flatnonzero(turns == num_full)
    missing = min(most - len(chosen), len(rest))
    rest = rest[np.arange(missing) * len(rest) // max(missing, 1)]
    return np.sort(np.concatenate([chosen, rest]))


def _columns(side, rows):
    """Paths, classes and absolute names of some images, str of the shape of `rows` each."""
    return [side.paths[rows], side.classes[rows], side.places(rows)]


def _line(text):
    """A text on one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
