"""The result of a reader: the classes of a data set before folds are cut."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ccpdml.data import image_set


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set as it is on disk.

    Attributes:
        development: classes to train and validate on.
        test: other classes, to report on; the queries when there is a gallery. In a closed set
            they are the same classes.
        gallery: what the queries are searched in, with the class names of `test`; or None.
        validation: classes, or images, that the data set itself sets apart to validate on; or None.
        layout: which of its known layouts the data set has.
        rule: how classes were divided where the data set does not say, in words.
        published: what the parts should hold, {part: (images, classes)}; empty if nobody said.
        problems: what the reader found wrong in the lists, tuple of str.
        left_out: files that are no images and folders without one, tuple of str.
        features_of: fingerprint of the network whose features these are, if they are and it is
            known.
    """

    development: image_set.ImageSet
    test: image_set.ImageSet
    gallery: image_set.ImageSet | None = None
    validation: image_set.ImageSet | None = None
    layout: str = ""
    rule: str = ""
    published: dict[str, Any] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    features_of: str | None = None

    @property
    def parts(self) -> dict[str, image_set.ImageSet]:
        """{name: ImageSet} of the parts there are."""
        names = ("development", "validation", "test", "gallery")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class Reader(Protocol):
    """Reader of a data set: a function that finds it on disk.

    It may have options of its own, with defaults: further arguments of `data.load`.
    """

    def __call__(self, root: str | Path | None = None) -> Source:
        """Reads lists and folders, not images.

        Args:
            root: folder that holds the data sets, or the data set itself; None is the data root.

        Raises:
            FileNotFoundError: if the data set is not there; says how to get it.
            ValueError: if it is not laid out as it should be.
        """


def files(
    folder: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    classes: npt.ArrayLike,
    names: Mapping[int, str] | Mapping[str, str] | None = None,
    all_classes: npt.ArrayLike | None = None,
    categories: Mapping[int, str] | Mapping[str, str] | None = None,
    several: Sequence[Sequence[str]] | None = None,
) -> image_set.ImageSet:
    """An image set of files.

    Args:
        folder: what relative `paths` are relative to.
        paths: of the images, relative to `folder` or absolute, [n].
        classes: class of each image, sortable keys [n].
        names: {key: class name}; None takes the keys.
        all_classes: keys of all the classes, if `classes` may lack some (query and gallery).
        categories: {key: category} of all the classes; None where none are known.
        several: all keys of each image, its class among them, where it may have more than one;
            `all_classes` then has to be given.

    Returns:
        `ImageSet`; classes are numbered in the order of their keys.
    """
    keys, labels = np.unique(np.asarray(classes), return_inverse=True)
    if all_classes is not None:
        labels = np.searchsorted(np.unique(np.asarray(all_classes)), np.asarray(classes))
        keys = np.unique(np.asarray(all_classes))
    return image_set.ImageSet(
        images=np.array([os.path.join(folder, path) for path in paths], dtype=str),
        labels=labels.reshape(-1).astype(np.int32),
        class_names=tuple(str(names[key] if names else key) for key in keys.tolist()),
        categories=tuple(categories[key] for key in keys.tolist()) if categories else (),
        several=None if several is None else _multi_hot(several, keys),
    )


def _multi_hot(several, keys):
    """Marks the keys that each image has; bool [n, num_keys]."""
    found = np.zeros((len(several), len(keys)), bool)
    rows = np.repeat(np.arange(len(several)), [len(own) for own in several])
    found[rows, np.searchsorted(keys, [key for own in several for key in own])] = True
    return found
