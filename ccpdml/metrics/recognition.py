"""Open-set recognition: some classes are known, images of others are to be told as unknown."""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import stats

from ccpdml.metrics import checks
from ccpdml.metrics.knn import MAX_MEMORY_BYTES, arrays, nearest


@dataclasses.dataclass(frozen=True)
class OpenSet:
    """Queries of known and of unknown classes against a gallery of the known ones.

    A query is *accepted* if its nearest gallery image is within the threshold.

    Attributes:
        thresholds: distances, ascending, float64 [num_thresholds].
        false_alarm_rates: accepted queries of unknown classes, shares of them, float64
            [num_thresholds]; also called FPIR. Unlike the false-match rate of pairs it grows with
            the gallery.
        detection_rates: accepted queries of known classes, shares of them, float64
            [num_thresholds].
        identification_rates: of these only those whose nearest image is of their class, float64
            [num_thresholds]; also called DIR.
        auroc: chance that a query of a known class is nearer to the gallery than one of an unknown
            class, ties counted half: the area under `detection_rates` over `false_alarm_rates`.
        num_known, num_unknown: queries of known and of unknown classes, int.
        gallery_size: images in the gallery, int.
    """

    thresholds: np.ndarray
    false_alarm_rates: np.ndarray
    detection_rates: np.ndarray
    identification_rates: np.ndarray
    auroc: float
    num_known: int
    num_unknown: int
    gallery_size: int


def open_set(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    seed: int = 0,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> OpenSet:
    """Open-set ROC of embedded images: half of their classes are known, the others are not.

    The gallery holds half of the images of each known class, one at least; their other images are
    the queries of known classes. A class of one image is never known.

    Args:
        embeddings: float [n, dim], as they are compared (normalize before).
        labels: [n] or [n, 1].
        seed: of the draw of classes and images, int from 0.
        max_memory_bytes: as of `nearest`.

    Raises:
        ValueError: for wrong shapes, values that are not finite, or if there are fewer than two
            classes, or none with two images.
    """
    rows = arrays.embeddings(embeddings, "embeddings")
    labels = np.unique(checks.labels(labels, len(rows), "labels"), return_inverse=True)[1]
    sizes = np.bincount(labels)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sizes))
    known = order[sizes[order] > 1][: max(1, len(sizes) // 2)]
    if len(sizes) < 2 or not len(known):
        raise ValueError(
            "Expected two classes or more, and two images or more of one of them. "
            f"Received: {len(rows)} images of {len(sizes)} classes"
        )
    shuffled = rng.permutation(len(rows))
    is_gallery = np.zeros(len(rows), bool)
    for label in known:
        is_gallery[shuffled[labels[shuffled] == label][: sizes[label] // 2]] = True
    gallery, queries = np.flatnonzero(is_gallery), np.flatnonzero(~is_gallery)
    found, distances = nearest(rows[queries], rows[gallery], 1, max_memory_bytes)
    is_known = np.isin(labels[queries], known)
    is_right = labels[gallery[found[:, 0]]] == labels[queries]
    return of_distances(distances[:, 0], is_known, is_right, len(gallery))


def of_distances(
    distances: npt.ArrayLike, is_known: npt.ArrayLike, is_right: npt.ArrayLike, gallery_size: int
) -> OpenSet:
    """Gives what `open_set` does, of queries that were searched already.

    Args:
        distances: from each query to its nearest gallery image, float [num_queries].
        is_known: whether the gallery has the query's class, bool [num_queries].
        is_right: whether that image is of it, bool [num_queries].
        gallery_size: int.

    Raises:
        ValueError: if all queries are of known classes, or none.
    """
    distances = np.asarray(distances, np.float64)
    is_known, is_right = np.asarray(is_known, bool), np.asarray(is_right, bool)
    num_known, num_unknown = int(is_known.sum()), int((~is_known).sum())
    if not num_known or not num_unknown:
        raise ValueError(
            "Expected queries of known and of unknown classes. "
            f"Received: {num_known} and {num_unknown}"
        )
    thresholds, places = np.unique(distances, return_inverse=True)
    accepted = [
        np.cumsum(np.bincount(places[chosen], minlength=len(thresholds)))
        for chosen in (~is_known, is_known, is_known & is_right)
    ]
    # Mann and Whitney: of all pairs of a known and an unknown query.
    ranks = stats.rankdata(distances)[~is_known].sum() - num_unknown * (num_unknown + 1) / 2
    return OpenSet(
        thresholds=thresholds,
        false_alarm_rates=accepted[0] / num_unknown,
        detection_rates=accepted[1] / num_known,
        identification_rates=accepted[2] / num_known,
        auroc=float(ranks / (num_known * num_unknown)),
        num_known=num_known,
        num_unknown=num_unknown,
        gallery_size=int(gallery_size),
    )
