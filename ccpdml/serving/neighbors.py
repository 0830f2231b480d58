"""Searching for images among embedded images: exactly."""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ccpdml import files, metrics
from ccpdml.reports import search_page
from ccpdml.serving import embedding, sources
from ccpdml.serving.embeddings import Embeddings, read_embeddings
from ccpdml.serving.image_encoder import ImageEncoder, load_encoder

COLUMNS = ("query", "query_class", "rank", "path", "class", "distance", "similarity", "right")


@dataclasses.dataclass(frozen=True)
class Results:
    """The nearest images of some queries, nearest first.

    Attributes:
        queries, gallery: `Embeddings` of both sides.
        indices: rows of the gallery, int64 [num_queries, k].
        distances: Euclidean, in the embeddings' unit, float32 [num_queries, k].
    """

    queries: Embeddings
    gallery: Embeddings
    indices: np.ndarray
    distances: np.ndarray

    @property
    def similarities(self) -> np.ndarray:
        """`1 - distance² / 2`, the cosine for embeddings of length 1; float32 [num_queries, k]."""
        return 1 - self.distances**2 / 2

    @property
    def right(self) -> np.ma.MaskedArray:
        """Whether a found image is of the query's class; masked where one is not known."""
        wanted, found = self.queries.classes[:, None], self.gallery.classes[self.indices]
        return np.ma.array(found == wanted, mask=(found == "") | (wanted == ""))

    def rows(self) -> Iterator[tuple]:
        """A tuple per found image, as `COLUMNS` names them."""
        yes_or_no = self.right.astype(int).filled(-1)
        for i, found in enumerate(self.indices):
            for rank, (j, distance) in enumerate(zip(found, self.distances[i], strict=True)):
                yield (
                    str(self.queries.paths[i]),
                    str(self.queries.classes[i]),
                    rank + 1,
                    str(self.gallery.paths[j]),
                    str(self.gallery.classes[j]),
                    f"{distance:.6f}",
                    f"{self.similarities[i, rank]:.6f}",
                    ("no", "yes", "")[yes_or_no[i, rank]],
                )

    def table(self, max_queries: int = 10) -> Iterator[str]:
        """Lines of text for people, of the first queries."""
        marks = self.right.astype(int).filled(-1)
        for i, found in enumerate(self.indices[:max_queries]):
            known = f" ({self.queries.classes[i]})" if self.queries.classes[i] else ""
            yield f"{self.queries.paths[i]}{known}"
            for rank, j in enumerate(found):
                mark = ("✗", "✓", " ")[marks[i, rank]]
                yield (
                    f"  {rank + 1:>3}  {self.distances[i, rank]:.4f} {mark} "
                    f"{self.gallery.classes[j]:<16} {self.gallery.paths[j]}"
                )
        if len(self.queries) > max_queries:
            yield f"... and {len(self.queries) - max_queries} more queries"
        yield self.summary()

    def summary(self) -> str:
        """How many of the nearest images are right, in a sentence."""
        nearest = self.right[:, 0].compressed()
        searched = f"{len(self.queries)} queries among {len(self.gallery)} images"
        if not len(nearest):
            return f"{searched}; their classes are not known."
        return (
            f"{searched}; the nearest image is of the query's class for {nearest.sum()} of the "
            f"{len(nearest)} whose class is known ({100 * nearest.mean():.1f} %)."
        )

    def write_csv(self, path: str | Path) -> None:
        """Writes a row per found image."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows()])
        files.write_text(path, text.getvalue())

    def write_page(self, path: str | Path, max_queries: int = 100) -> None:
        """Writes an HTML page with the pictures in it, of the first queries."""
        search_page.write_page(
            path,
            (self.queries.paths[:max_queries], self.queries.classes[:max_queries]),
            (self.gallery.paths[self.indices], self.gallery.classes[self.indices]),
            self.distances,
            self.right,
            self.summary(),
        )


def search(queries: Embeddings, gallery: Embeddings, k: int = 10) -> Results:
    """Finds the `k` nearest gallery images of each query, exactly.

    An image of the gallery, by its path, does not find itself, and is of the class it has there.

    Raises:
        ValueError: if the two were made with different encoders, or `k` is out of range.
    """
    made_with = [side.info["encoder"]["fingerprint"] for side in (queries, gallery)]
    if made_with[0] != made_with[1]:
        raise ValueError(
            "Queries and gallery must be embedded with the same encoder. Received: fingerprints "
            f"{made_with[0]} ({queries.info['encoder'].get('path')}) and {made_with[1]} "
            f"({gallery.info['encoder'].get('path')})"
        )
    own, theirs = _absolute(queries.paths), _absolute(gallery.paths)
    has_itself = np.isin(own, theirs)
    most = len(gallery) - int(has_itself.any())
    if not 1 <= k <= most:
        raise ValueError(f"`k` must be in 1..{most}, for that gallery. Received: {k=}")
    indices, distances = metrics.nearest(
        queries.embeddings, gallery.embeddings, k + int(has_itself.any())
    )
    if has_itself.any():
        # Of k + 1 found the query itself is left out, or if it is not among them the last.
        dropped = theirs[indices] == own[:, None]
        dropped[:, -1] |= ~dropped.any(axis=1)
        indices, distances = indices[~dropped].reshape(-1, k), distances[~dropped].reshape(-1, k)
    known = dict(zip(theirs.tolist(), gallery.classes.tolist(), strict=True))
    named = zip(queries.classes.tolist(), own.tolist(), strict=True)
    classes = np.array([name or known.get(path, "") for name, path in named])
    return Results(dataclasses.replace(queries, classes=classes), gallery, indices, distances)


def embed_queries(
    given: str | Path | Iterable, gallery: Embeddings, encoder: ImageEncoder | None = None
) -> Embeddings:
    """Embeds what is to be searched for.

    Args:
        given: a file of embeddings, or image files as for `find_images`.
        gallery: what is to be searched.
        encoder: a trained encoder; None loads the one of the gallery from where it was.

    Raises:
        FileNotFoundError, ValueError: as of `find_images`, `load_encoder` and `embed_images`.
    """
    given = [given] if isinstance(given, (str, Path)) else list(given)
    if len(given) == 1 and Path(given[0]).suffix == ".npz":
        return read_embeddings(given[0])
    images = sources.find_images(given)
    encoder = encoder or load_encoder(gallery.info["encoder"].get("path", ""))
    return Embeddings(
        embeddings=embedding.embed_in_memory(encoder, images.paths),
        paths=np.array(images.paths),
        classes=np.array(images.classes),
        info={"encoder": encoder.info},
    )


def _absolute(paths):
    return np.array([os.path.abspath(path) for path in paths.tolist()])
