"""Handwritten digits that come with scikit-learn: nothing to download, seconds to train."""

from pathlib import Path

import numpy as np

from ccpdml.data import image_set, source

DEVELOPMENT_CLASSES = range(0, 6)
TEST_CLASSES = range(6, 10)


def read(root: str | Path | None = None) -> source.Source:
    """Reads the digits: 0..5 to develop on, 6..9 to test on; uint8 [n, 8, 8, 1], ink is 255.

    Source: scikit-learn's copy of the UCI "Optical Recognition of Handwritten Digits" test set.
    """
    del root  # Nothing is read from the data root.
    from sklearn import datasets  # Here, as `import ccpdml` need not wait for it.

    digits = datasets.load_digits()
    everything = image_set.ImageSet(
        images=np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8),
        labels=digits.target,
        class_names=tuple(str(digit) for digit in range(10)),
        names=tuple(f"digit {digit}, image {i}" for i, digit in enumerate(digits.target)),
    )
    return source.Source(
        development=everything.select_classes(DEVELOPMENT_CLASSES),
        test=everything.select_classes(TEST_CLASSES),
    )
