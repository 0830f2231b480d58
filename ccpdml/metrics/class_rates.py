"""Error rates of a threshold, and where they will lie on other classes.

Pairs are not independent: an image is in many of them, and the classes are what is drawn at random.
So the spread of a rate is that over draws of classes. All rates here are ratios of means over
classes (of pairs within a class) and over pairs of classes; the latter are U-statistics. Their
variance is the sum of that of the classes' projections and of what is left to the pairs of classes
(Hoeffding, A Class of Statistics with Asymptotically Normal Distribution, 1948), both estimated
from one set of classes and scaled to another number of them.

On the number of pairs alone an interval would be far too narrow, and one that is symmetric around a
small rate is not covered: see Fogliato, Patil, Perona, Confidence Intervals for Error Rates in 1:1
Matching Tasks (2024). The intervals here are symmetric for the logarithm of the odds and for the
arcsine of the root of the rate, with Student's t of one degree less than there are classes; of the
two, the wider end is taken on each side.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import special

from ccpdml.metrics import pairs

LEAST_CLASSES = 3

# Odds of each rate, as (numerator, denominator): factors of the means over classes of pairs of one
# class (matches, others), and of pairs of two classes (matches, others).
_ODDS = {
    "false_match_rate": ((0, 0, 1, 0), (0, 0, 0, 1)),
    "false_non_match_rate": ((0, 1, 0, 0), (1, 0, 0, 0)),
    "precision": ((1, 0, 0, 0), (0, 0, 1, 0)),
    "f1": ((2, 0, 0, 0), (0, 1, 1, 0)),
}
NAMES = tuple(_ODDS)


@dataclasses.dataclass(frozen=True)
class Rate:
    """A rate of a threshold.

    Attributes:
        value: measured, in 0..1.
        low, high: the interval in which it lies when measured on a new draw of classes.
    """

    value: float
    low: float
    high: float

    def __contains__(self, measured: float) -> bool:
        """Tells whether what was measured on other classes is inside."""
        return self.low <= measured <= self.high


@dataclasses.dataclass(frozen=True)
class Counts:
    """Matches within a threshold by class.

    Attributes:
        sizes: images of each class, int64 [num_classes].
        within: matches among the pairs of each class, int64 [num_classes].
        across: matches between each class and all others, int64 [num_classes].
        squared: sum over pairs of classes of their matches squared, float.
        with_sizes: sum over pairs of classes of their matches times their pairs, float.
    """

    sizes: np.ndarray
    within: np.ndarray
    across: np.ndarray
    squared: float
    with_sizes: float


def counts(classes: pairs.Classes, thresholds: Sequence[float]) -> list[Counts]:
    """Counts the matches of classes within some thresholds, in bounded memory.

    Args:
        classes: as of `pairs.by_class`.
        thresholds: distances.

    Returns:
        `Counts` for each threshold.
    """
    totals = [_Total(classes) for _ in thresholds]
    for block in pairs.blocks(classes):
        for total, threshold in zip(totals, thresholds, strict=True):
            total.see(block, threshold)
    return [total.counts() for total in totals]


def rates(
    counts: Counts, num_new_classes: int | None = None, confidence: float = 0.95
) -> dict[str, Rate]:
    """The rates of a threshold, each with the interval for a new draw of classes.

    The interval is one of prediction. It covers what is measured, at the same threshold, on
    `num_new_classes` other classes of the same kind, with as many images each: the spread of both
    draws of classes is in it, of this one, which the threshold was chosen on, and of the new one.
    Precision and F1 fall with the number of classes, since the pairs of different classes grow with
    its square; their intervals are those for the new number.

    Args:
        counts: of `counts`.
        num_new_classes: classes of the new draw, int from 2; None takes as many as these.
        confidence: of the interval, in 0..1 without the ends.

    Returns:
        Dict of `Rate` by the names of `NAMES`.

    Raises:
        ValueError: if there are fewer than three classes, or arguments are out of range.
    """
    num_classes = len(counts.sizes)
    new = num_classes if num_new_classes is None else num_new_classes
    if num_classes < LEAST_CLASSES or new < 2 or not 0.0 < confidence < 1.0:
        raise ValueError(
            f"An interval over classes takes {LEAST_CLASSES} classes or more, 2 new ones or more, "
            f"and a confidence above 0 and below 1. Received: {num_classes=}, "
            f"num_new_classes={new}, {confidence=}"
        )
    quantile = special.stdtrit(num_classes - 1, (1.0 + confidence) / 2.0)
    return {name: _rate(counts, new, quantile, *odds) for name, odds in _ODDS.items()}


def _rate(counts, new, quantile, numerator, denominator):
    num_classes = len(counts.sizes)
    means = _means(counts)
    per_class = np.array([1.0, 1.0, (num_classes - 1) / 2, (num_classes - 1) / 2])
    above, below = (float(np.dot(side, means * per_class)) for side in (numerator, denominator))
    value = above / (above + below) if above + below else 0.0
    if not above or not below:
        # Nothing varies that could be measured: Wilson's interval, a trial for each class.
        trials = 1.0 / (1.0 / num_classes + 1.0 / new)
        margin = quantile**2 / (trials + quantile**2)
        return Rate(value, max(0.0, value - margin), min(1.0, value + margin))
    per_class[2:] = (new - 1) / 2
    above, below = (np.dot(side, means * per_class) for side in (numerator, denominator))
    weights = (np.array(numerator) / above - np.array(denominator) / below) * per_class
    margin = quantile * np.sqrt(_variance(counts, weights, new))
    low, high = _ends(above / (above + below), margin)
    return Rate(value, low, high)


def _ends(center, margin):
    """Ends of an interval around a rate; `margin` is of the logarithm of its odds."""
    odds = special.logit(center) + margin * np.array([-1.0, 1.0])
    angle = np.arcsin(np.sqrt(center))
    angles = angle + margin * np.sqrt(center * (1.0 - center)) / 2.0 * np.array([-1.0, 1.0])
    squares = np.sin(np.clip(angles, 0.0, np.pi / 2)) ** 2
    ends = special.expit(odds)
    return float(min(ends[0], squares[0])), float(max(ends[1], squares[1]))


def _means(counts):
    """Means over classes of matches and others, and over pairs of classes; float64 [4]."""
    sizes, num_classes = counts.sizes.astype(np.float64), len(counts.sizes)
    within = counts.within.sum()
    positive = (sizes * (sizes - 1)).sum() / 2
    across, negative = counts.across.sum() / 2, (sizes.sum() ** 2 - (sizes**2).sum()) / 2
    num_pairs = num_classes * (num_classes - 1) / 2
    return np.array(
        [
            within / num_classes,
            (positive - within) / num_classes,
            across / num_pairs,
            (negative - across) / num_pairs,
        ]
    )


def _variance(counts, weights, new):
    """Variance of the logarithm of odds over both draws of classes.

    The odds change by the mean over classes of u and the mean over pairs of classes of v; u and v
    are sums, with these weights, of what is above or below the means.
    """
    sizes, num_classes = counts.sizes.astype(np.float64), len(counts.sizes)
    matches, others = weights[0], weights[1]
    own = matches * counts.within + others * (sizes * (sizes - 1) / 2 - counts.within)
    own = own - own.mean()
    # v of two classes is `first` times their matches and `second` times their pairs, centered.
    first, second = weights[2] - weights[3], weights[3]
    row = first * counts.across + second * sizes * (sizes.sum() - sizes)
    num_pairs = num_classes * (num_classes - 1) / 2
    mean = row.sum() / 2 / num_pairs
    row = row - (num_classes - 1) * mean
    squared_sizes = ((sizes**2).sum() ** 2 - (sizes**4).sum()) / 2
    squares = first**2 * counts.squared + 2 * first * second * counts.with_sizes
    pair = max(0.0, (squares + second**2 * squared_sizes) / num_pairs - mean**2)
    shared = (row**2).sum() - 2 * num_pairs * pair
    shared /= num_classes * (num_classes - 1) * (num_classes - 2)
    shared = float(np.clip(shared, 0.0, pair / 2))
    projected = own + 2 * row / (num_classes - 1)
    single = (projected**2).sum() / (num_classes - 1) - 4 * (pair - shared) / (num_classes - 1)
    return sum(
        max(single, 0.0) / number + 2 * (pair - 2 * shared) / (number * (number - 1))
        for number in (num_classes, new)
    )


class _Total:
    """Sums of matches over blocks."""

    def __init__(self, classes):
        self.classes = classes
        self.within = np.zeros(len(classes.sizes), np.int64)
        self.across = np.zeros(len(classes.sizes), np.int64)
        self.squared = self.with_sizes = 0.0
        self.part = None  # Matches of a class of which only a part was seen so far.

    def see(self, block, threshold):
        """Takes the next block."""
        classes = self.classes
        own = classes.owner[block.rows]
        first, last = int(own[0]), int(own[-1])
        columns = classes.starts[first:] - block.first
        rows = np.searchsorted(own, np.arange(first, last + 1))
        near = (block.squared <= threshold**2).astype(np.int32)
        matches = np.add.reduceat(np.add.reduceat(near, columns, axis=1), rows, axis=0)
        if self.part is not None:
            matches = matches + self.part
        is_whole = block.rows.stop == classes.starts[last] + classes.sizes[last]
        self.part = None if is_whole else matches
        if is_whole:
            self._add(matches.astype(np.int64), slice(first, last + 1))

    def _add(self, matches, own):
        """Takes the matches of some classes with these and all later ones, [num_own, later]."""
        classes = self.classes
        num_own = len(matches)
        diagonal = np.einsum("ii->i", matches[:, :num_own])
        self.within[own] = (diagonal - classes.sizes[own]) // 2  # Less each image with itself.
        matches = np.triu(matches, 1).astype(np.float64)
        self.across[own] += matches.sum(axis=1).astype(np.int64)
        self.across[own.start :] += matches.sum(axis=0).astype(np.int64)
        self.squared += float((matches**2).sum())
        self.with_sizes += float(classes.sizes[own] @ matches @ classes.sizes[own.start :])

    def counts(self):
        return Counts(self.classes.sizes, self.within, self.across, self.squared, self.with_sizes)
