"""Folds: the development classes that validate, for each fold of a cross-validation.

Two definitions are in use. They agree on CUB up to the order of the folds and differ by one class
on Cars196, so results name the one they used. Both validate on the last block in fold 0.
"""

import dataclasses

import numpy as np

from ccpdml.data.image_set import ImageSet
from ccpdml.data.source import Source


def ccp(num_classes: int, num_folds: int, fold: int) -> np.ndarray:
    """Blocks between `floor(linspace(0, C, K + 1))`; fold f validates on the f-th from the end.

    Args:
        num_classes: number of development classes, C.
        num_folds: number of blocks, K in 2..C.
        fold: which of them, int in 0..K-1.

    Returns:
        Classes to validate on, ascending, int64 [about C / K].

    Source: the splits of the original implementation.
    """
    edges = np.linspace(0, num_classes, num_folds + 1).astype(np.int64)
    return np.arange(edges[num_folds - fold - 1], edges[num_folds - fold])


def mlrc(num_classes: int, num_folds: int, fold: int) -> np.ndarray:
    """The `floor(C / K)` classes before class `floor(fold * C / K)`, counted round the end.

    Where K does not divide C a few classes never validate: 24 and 73 of the 98 of Cars196.
    Arguments and result as for `ccp`.

    Source: "A Metric Learning Reality Check" (Musgrave et al., 2020), its benchmark code.
    """
    start = fold * num_classes // num_folds
    return np.arange(start - num_classes // num_folds, start) % num_classes


DEFINITIONS = {"ccp": ccp, "mlrc": mlrc}


def as_published(source: Source) -> Source:
    """Classes to develop and to test on as the data set gives them."""
    return source


def halves(source: Source) -> Source:
    """The first half of all classes develops, whatever split the data set comes with.

    This differs from the published split for Stanford Online Products (11,317 classes each).

    Raises:
        ValueError: if the data set has a gallery, for which the benchmark has no rule.

    Source: as `mlrc`.
    """
    if source.gallery is not None:
        raise ValueError(
            "`folds='mlrc'` is defined for data sets without a gallery; use 'ccp'. "
            f"Received: a gallery of {len(source.gallery)} images"
        )
    everything = source.development.joined(source.test)
    half = everything.num_classes // 2
    return dataclasses.replace(
        source,
        development=everything.select_classes(range(half)),
        test=everything.select_classes(range(half, everything.num_classes)),
    )


HALVES = {"ccp": as_published, "mlrc": halves}


def check(definition: str) -> None:
    """Refuses a definition of folds that there is not."""
    if definition not in DEFINITIONS:
        raise ValueError(f"`folds` must be one of {sorted(DEFINITIONS)}. Received: {definition!r}")


def by_image(images: ImageSet, num_folds: int, fold: int) -> np.ndarray:
    """Images of each class that validate in a closed set, by place in their class.

    Of n images, in their order, n / K side by side (at least 2, as one alone finds no other);
    none of a class of fewer than 4.

    Args:
        images: the images.
        num_folds: K, int from 2.
        fold: int in 0..K-1.

    Returns:
        Ascending indices, int64.
    """
    chosen = []
    for label in range(images.num_classes):
        own = np.flatnonzero(images.labels == label)
        if len(own) >= 4:
            size, first = max(len(own) // num_folds, 2), fold * len(own) // num_folds
            chosen.append(own[(first + np.arange(size)) % len(own)])
    return np.sort(np.concatenate([np.arange(0), *chosen]))


def default_number(source: Source, definition: str, fold: int) -> int:
    """Number of folds where none is asked for: 4, fewer if a fold then had one class only."""
    num_classes = HALVES[definition](source).development.num_classes
    for num_folds in (4, 3, 2):
        if fold < num_folds <= num_classes:
            block = len(DEFINITIONS[definition](num_classes, num_folds, fold))
            if block >= 2 and num_classes - block >= 2:
                return num_folds
    raise ValueError(
        "Expected at least 4 classes to develop on, so that 2 train and 2 validate. With fewer "
        "give validation classes of their own (a folder val/, or `split` val in a table), or bind "
        "data.load.num_folds = 1 and train.select_on = 'test' (scores then flatter). "
        f"Received: {num_classes} classes, {fold=}"
    )


def split(
    source: Source, definition: str = "ccp", num_folds: int = 4, fold: int = 0
) -> tuple[Source, np.ndarray, np.ndarray]:
    """Cuts the classes to develop on into training and validation classes.

    Args:
        source: `source.Source`.
        definition: 'ccp' or 'mlrc'.
        num_folds: number of folds, int in 1..num_classes. With 1 every class trains and none
            validates.
        fold: which of them to validate on, int in 0..num_folds-1.

    Returns:
        Tuple (source with the halves of that definition, ids of the classes to train on, ids of
        the classes to validate on); two ascending int64 arrays of classes of its `development`.

    Raises:
        ValueError: if an argument is out of range.
    """
    check(definition)
    source = HALVES[definition](source)
    num_classes = source.development.num_classes
    if not 1 <= num_folds <= num_classes:
        raise ValueError(f"`num_folds` must be in 1..{num_classes}. Received: {num_folds=}")
    if not 0 <= fold < num_folds:
        raise ValueError(f"`fold` must be in 0..{num_folds - 1}. Received: {fold=}")
    validation = np.arange(0)
    if num_folds > 1:
        validation = np.sort(DEFINITIONS[definition](num_classes, num_folds, fold))
    return source, np.setdiff1d(np.arange(num_classes), validation), validation
