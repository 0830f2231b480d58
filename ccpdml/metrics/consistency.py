"""Consistency of one threshold over classes."""

import numpy as np
import numpy.typing as npt

from ccpdml.metrics import pairs, verification
from ccpdml.metrics.knn import MAX_MEMORY_BYTES

NUM_THRESHOLDS = 101


def opis(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    false_match_rates: tuple[float, float] = (0.01, 0.1),
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> float:
    """Operating-point-inconsistency score: how differently one threshold works for the classes.

    The utility of a threshold for a class is the harmonic mean of the share of its positive pairs
    that are within, and of the share of its pairs with other classes that are not. The score is the
    mean over classes and over a range of thresholds of the squared difference between that and its
    mean over classes. 0 is best: a threshold that serves one class serves all.

    Args:
        embeddings: float [n, dim], as they are compared (normalize before).
        labels: [n] or [n, 1]. Classes of one image have no utility and are left out of the means;
            they are others to the rest.
        false_match_rates: that the range of thresholds, `NUM_THRESHOLDS` of them evenly spaced,
            begins and ends with, over all pairs.
        max_memory_bytes: as of `verification.curve`.

    Raises:
        ValueError: as of `verification.curve`; if there are too few pairs for the rates, or the
            rates do not ascend.

    Source: Zhang et al., Threshold-Consistent Margin Loss for Open-World Deep Metric Learning
    (ICLR 2024, arXiv 2307.04047), with F_1 as utility.
    """
    low, high = false_match_rates
    if not low < high:
        raise ValueError(f"`false_match_rates` must ascend. Received: {false_match_rates=}")
    classes = pairs.by_class(embeddings, labels, max_memory_bytes)
    curve = verification.of_classes(classes)
    ends = [curve.thresholds[curve.at_false_match_rate(rate)] for rate in (low, high)]
    utilities = _utilities(classes, np.linspace(ends[0], ends[1], NUM_THRESHOLDS))
    return float(((utilities - utilities.mean(axis=0)) ** 2).mean())


def _utilities(classes, thresholds):
    """Utility of each threshold for each class of two images or more."""
    within, across = (np.zeros((len(classes.sizes), len(thresholds)), np.int64) for _ in range(2))
    for block in pairs.blocks(classes, whole=True):
        for row, squared in zip(classes.owner[block.rows], block.squared, strict=True):
            start, stop = classes.starts[row], classes.starts[row] + classes.sizes[row]
            own = _cumulative(squared[start:stop], thresholds)
            within[row] += own - 1  # Less the image itself.
            across[row] += _cumulative(squared, thresholds) - own
    sizes = classes.sizes[:, None]
    kept = classes.sizes > 1
    sensitivity = within[kept] / (sizes * (sizes - 1))[kept]
    specificity = 1.0 - across[kept] / (sizes * (len(classes.rows) - sizes))[kept]
    total = sensitivity + specificity
    product = 2.0 * sensitivity * specificity
    return np.divide(product, total, out=np.zeros_like(total), where=total > 0.0)


def _cumulative(squared, thresholds):
    """Counts the squared distances within each threshold, int64 [num_thresholds]."""
    places = np.searchsorted(thresholds**2, squared)
    return np.cumsum(np.bincount(places, minlength=len(thresholds) + 1)[: len(thresholds)])
