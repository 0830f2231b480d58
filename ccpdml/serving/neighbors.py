"""Searching for images among embedded images: exactly."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from absl import logging

from ccpdml import metrics
from ccpdml.serving import calibration, looking, sources
from ccpdml.serving.embeddings import Embeddings, read_embeddings
from ccpdml.serving.image_encoder import ImageEncoder
from ccpdml.serving.results import UNKNOWN, Results

DEFAULT_K = 10


def search(
    queries: Embeddings,
    gallery: Embeddings,
    k: int | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Results:
    """Finds the `k` nearest gallery images of each query, exactly, in bounded memory.

    An image of the gallery, by its place on the disk, does not find itself, and is of the class it
    has there, if none is given.

    Args:
        queries, gallery: what is searched for, and in what.
        k: images to find for each query; None finds 10, or all of a smaller gallery.
        on_progress: function called with a number of gallery images each time so many were
            searched.

    Raises:
        ValueError: if the two were made with different encoders, or `k` is out of range.
    """
    _check_same_encoder(queries.info["encoder"], gallery.info["encoder"])
    size, num_own = len(gallery), 1  # How often the gallery holds a query, mostly once.
    wanted = min(DEFAULT_K, size) if k is None else k
    if not 1 <= wanted <= size:
        raise ValueError(f"`k` must be in 1..{size}, for that gallery. Received: {k=}")
    while True:
        depth = min(wanted + num_own, size)
        indices, distances = metrics.nearest(
            queries.embeddings, gallery.embeddings, depth, on_progress=on_progress
        )
        is_own = gallery.places(indices) == queries.files[:, None]
        most_own = int(is_own.sum(axis=1).max())
        if most_own <= num_own or depth == size:
            break
        num_own = most_own  # It lists a file by several names.
    wanted = min(wanted, depth - most_own)
    if not wanted:
        raise ValueError("There is nothing to find: the gallery holds nothing but the query.")
    if k is not None and wanted < k:
        raise ValueError(f"`k` must be in 1..{wanted}, for that gallery. Received: {k=}")
    # The query itself goes behind all others, which keep their order.
    order = np.argsort(is_own, axis=1, kind="stable")
    own = np.take_along_axis(indices, order, axis=1)[:, -1]
    known = np.where(is_own.any(axis=1), gallery.classes[own], "")
    classes = np.where(queries.classes == "", known, queries.classes)
    indices, distances = (np.take_along_axis(x, order, 1)[:, :wanted] for x in (indices, distances))
    return Results(dataclasses.replace(queries, classes=classes), gallery, indices, distances)


def match(
    queries: Embeddings,
    gallery: Embeddings,
    threshold: float | calibration.Thresholds,
    k: int | None = None,
    votes: int = 1,
    unknown: str = UNKNOWN,
    on_progress: Callable[[int], object] | None = None,
) -> Results:
    """Tells of each query which class of the gallery it is of, or that it is of none.

    It is of the class that most of its `votes` nearest images are of, those within the threshold
    alone; of classes with as many, the nearer one. Where no image is within, it is unknown.

    Args:
        queries, gallery, k, on_progress: as of `search`.
        threshold: a distance, or thresholds of the same encoder, of which the first counts.
        votes: images that are asked, int in 1..k.
        unknown: answer where no image is near enough; no class of the gallery may have that name.

    Returns:
        The results of the search; `answers` holds the class of each query, "" where that of the
        images near it is not known.

    Raises:
        ValueError: as of `search`; if the thresholds are another encoder's, or `votes` or `unknown`
            does not fit.
    """
    distance = calibration.distance_of(threshold, gallery.info["encoder"])
    refuse_class(unknown, gallery)
    found = search(queries, gallery, k, on_progress)
    if not 1 <= votes <= found.indices.shape[1]:
        raise ValueError(f"`votes` must be in 1..{found.indices.shape[1]}, `k`. Received: {votes=}")
    return dataclasses.replace(found, threshold=distance, votes=votes, unknown=unknown)


def refuse_class(unknown: str, gallery: Embeddings) -> None:
    """Refuses a word for what is unknown that is empty or the name of a class.

    Raises:
        ValueError: naming it.
    """
    if not unknown or unknown in gallery.classes:
        raise ValueError(
            "The answer for what is unknown must be a word that is no class of the gallery "
            f"(--unknown). Received: {unknown=}"
        )


def embed_queries(
    given: str | Path | Iterable[str | Path],
    gallery: Embeddings,
    encoder: ImageEncoder | None = None,
    skip_unreadable: bool = False,
) -> Embeddings:
    """Embeds what is to be searched for.

    Args:
        given: a file of embeddings, or image files as for `find_images`.
        gallery: what is to be searched.
        encoder: what embedded the gallery, wherever it is now; not needed for embeddings.
        skip_unreadable: whether images that cannot be decoded are left out, with a warning.

    Raises:
        UnreadableImageError: if an image cannot be decoded; names it.
        FileNotFoundError: as of `find_images` and `read_embeddings`.
        ValueError: if `encoder` is missing or another one, or as of the two.
    """
    given = [given] if isinstance(given, (str, Path)) else list(given)
    are_embeddings = [Path(each).suffix == ".npz" for each in given]
    if any(are_embeddings):
        if len(given) > 1:
            raise ValueError(f"A file of embeddings is given alone. Received: {given}")
        return read_embeddings(given[0])
    images = sources.find_images(given)
    if encoder is None:
        raise ValueError(
            "Images to search for are embedded with the encoder of the gallery; give it (--encoder)"
            f". Received: none; the gallery's is {_name(gallery.info['encoder'])}"
        )
    _check_same_encoder(encoder.info, gallery.info["encoder"])
    skipped = set()

    def skip(seen):
        logging.warning("%s is left out: %s", seen.name, seen.why)
        skipped.add(seen.place)

    rows = looking.embed(encoder, images.paths, skip=skip if skip_unreadable else None)
    kept = [place for place in range(len(images)) if place not in skipped]
    if not kept:
        raise ValueError(f"None of the {len(images)} queries can be read.")
    return Embeddings(
        embeddings=rows,
        paths=np.array(images.paths)[kept],
        classes=np.array(images.classes)[kept],
        info={"encoder": encoder.info},
    )


def _check_same_encoder(queries, gallery):
    if queries["fingerprint"] != gallery["fingerprint"]:
        raise ValueError(
            "Queries and gallery must be embedded with the same encoder. Received: "
            f"{_name(queries)} and {_name(gallery)}"
        )


def _name(encoder):
    """Name of an encoder in an error."""
    place = f", then in {encoder['path']}" if "path" in encoder else ""
    return f"{encoder['fingerprint']}{place}"
