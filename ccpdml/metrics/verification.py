"""Verification: are two images of one class, told by whether their distance is within a threshold.

A *match* is a pair within the threshold. The false-match rate (FMR) is the share of matches among
the pairs of different classes, the false-non-match rate (FNMR) the share of those that are none
among the pairs of one class.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ccpdml.metrics import pairs
from ccpdml.metrics.knn import MAX_MEMORY_BYTES

# Squared distances are counted by the first bits of their float32 form: bins whose width is
# 2^-13 of the distance squared. What is below 2^-40 of the largest is in the first bin.
_DROPPED_BITS = 10
_BINS_PER_OCTAVE = 2**23 >> _DROPPED_BITS
_NUM_BINS = 41 * _BINS_PER_OCTAVE


@dataclasses.dataclass(frozen=True)
class Curve:
    """Matches within every threshold, all pairs of some images counted.

    Attributes:
        thresholds: distances in the embeddings' unit, ascending, float64 [num_thresholds]; each is
            in the middle of a gap between distances (that are told apart if they differ by
            1/16,000 or more).
        true_matches, false_matches: pairs of one class, and of different classes, within each,
            int64 [num_thresholds].
        num_positive, num_negative: pairs of one class, and of different classes, int.
    """

    thresholds: np.ndarray
    true_matches: np.ndarray
    false_matches: np.ndarray
    num_positive: int
    num_negative: int

    @property
    def false_match_rates(self) -> np.ndarray:
        """FMR within each threshold, float64 [num_thresholds]."""
        return self.false_matches / self.num_negative

    @property
    def false_non_match_rates(self) -> np.ndarray:
        """FNMR within each threshold, float64 [num_thresholds]."""
        return 1.0 - self.true_matches / self.num_positive

    @property
    def precisions(self) -> np.ndarray:
        """Share of pairs of one class among the matches, float64 [num_thresholds]."""
        return self.true_matches / (self.true_matches + self.false_matches)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and 1 - FNMR, float64 [num_thresholds]."""
        matches = self.true_matches + self.false_matches
        return 2.0 * self.true_matches / (matches + self.num_positive)

    def at_false_match_rate(self, rate: float) -> int:
        """Place of the largest threshold whose FMR is at most `rate`, in 0..1 without the ends.

        Raises:
            ValueError: if so few pairs cannot say so.
        """
        if not 0.0 < rate < 1.0:
            raise ValueError(f"A false-match rate must be above 0 and below 1. Received: {rate=}")
        if rate * self.num_negative < 1.0:
            raise ValueError(
                f"{self.num_negative:,} pairs of different classes cannot say which threshold has "
                f"so few false matches; give more images or classes, or a rate of at least "
                f"{1 / self.num_negative:.2g}. Received: {rate=}"
            )
        return self._last(self.false_matches <= rate * self.num_negative, f"{rate=}")

    def at_precision(self, precision: float) -> int:
        """Place of the largest threshold whose precision is at least `precision`, in 0..1.

        Raises:
            ValueError: if there is none.
        """
        if not 0.0 < precision <= 1.0:
            raise ValueError(f"A precision must be above 0 and at most 1. Received: {precision=}")
        return self._last(self.precisions >= precision, f"{precision=}")

    def at_best_f1(self) -> int:
        """Place of the threshold of the highest F1; of several the smallest."""
        return int(np.argmax(self.f1))

    def _last(self, allowed, wanted):
        places = np.flatnonzero(allowed)
        if not len(places):
            raise ValueError(
                "No threshold does what is wanted: pairs of different classes are among the "
                f"nearest. Received: {wanted}"
            )
        return int(places[-1])


def curve(
    embeddings: npt.ArrayLike, labels: npt.ArrayLike, max_memory_bytes: int = MAX_MEMORY_BYTES
) -> Curve:
    """Counts the matches within every threshold, all pairs of the images, in bounded memory.

    Args:
        embeddings: float [n, dim], as they are compared (normalize before).
        labels: [n] or [n, 1].
        max_memory_bytes: bound of the working memory, int; on top come a copy of the embeddings and
            16 MiB.

    Raises:
        ValueError: for wrong shapes, values that are not finite, or if there are no pairs of one
            class or none of different classes.
    """
    return of_classes(pairs.by_class(embeddings, labels, max_memory_bytes))


def of_classes(classes: pairs.Classes) -> Curve:
    """Gives what `curve` does, of embeddings that are sorted by class already."""
    positive, negative = np.zeros(_NUM_BINS, np.int64), np.zeros(_NUM_BINS, np.int64)
    lowest = max(0, int(_bin(np.array(pairs.bound(classes)))) + 2 - _NUM_BINS)
    for block in pairs.blocks(classes):
        bins = np.maximum(_bin(block.squared) - lowest, 0)
        # Classes of the block itself stand in the first columns, and each pair of theirs twice.
        own = classes.owner[block.rows]
        end = int(classes.starts[own[-1]] + classes.sizes[own[-1]])
        columns = np.arange(block.first, end)
        once = columns > np.arange(block.rows.start, block.rows.stop)[:, None]
        same = classes.owner[columns] == own[:, None]
        among = bins[:, : len(columns)]
        positive += np.bincount(among[once & same], minlength=_NUM_BINS)
        negative += np.bincount(among[once & ~same], minlength=_NUM_BINS)
        negative += np.bincount(bins[:, len(columns) :].ravel(), minlength=_NUM_BINS)
    filled = np.flatnonzero(positive + negative)
    return Curve(
        thresholds=_between(filled + lowest),
        true_matches=np.cumsum(positive[filled]),
        false_matches=np.cumsum(negative[filled]),
        num_positive=classes.num_positive,
        num_negative=classes.num_negative,
    )


def fnmr_at_fmr(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    false_match_rates: Sequence[float] = (0.001, 0.01, 0.05),
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> np.ndarray:
    """FNMR at the largest threshold whose FMR is at most the wanted one, all pairs of the images.

    Args:
        embeddings, labels, max_memory_bytes: as of `curve`.
        false_match_rates: in 0..1 without the ends.

    Returns:
        Float64 [num_rates].

    Raises:
        ValueError: as of `curve`, and if there are too few pairs for a rate.
    """
    found = curve(embeddings, labels, max_memory_bytes)
    places = [found.at_false_match_rate(rate) for rate in false_match_rates]
    return found.false_non_match_rates[places]


def _between(bins):
    """Distances in the middle between each of some bins and the next one, float64 [num_bins]."""
    edges = _edge(np.stack([bins + 1, np.append(bins[1:], bins[-1] + 1)]))
    return np.sqrt(edges.mean(axis=0))


def _bin(squared):
    """The bins of squared distances, int32; bin 0 begins at 0."""
    return squared.astype(np.float32).view(np.int32) >> _DROPPED_BITS


def _edge(bins):
    """The squared distances at which bins begin, float64."""
    return (bins << _DROPPED_BITS).astype(np.int32).view(np.float32).astype(np.float64)
