"""What a reader hands over: the classes of a data set before folds are cut."""

import dataclasses
import os

import numpy as np

from ccpdml.data import image_set


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set as it is on disk.

    Attributes:
        development: classes to train and validate on.
        test: other classes, to report on; the queries when there is a gallery.
        gallery: what the queries are searched in, with the class names of `test`; or None.
        layout: which of its known layouts the data set has.
        published: what the parts should hold, {part: (images, classes)}; empty if nobody said.
        problems: what the reader found wrong in the lists, tuple of str.
    """

    development: image_set.ImageSet
    test: image_set.ImageSet
    gallery: image_set.ImageSet | None = None
    layout: str = ""
    published: dict = dataclasses.field(default_factory=dict)
    problems: tuple = ()

    @property
    def parts(self):
        """{name: ImageSet} of the parts there are."""
        parts = {"development": self.development, "test": self.test, "gallery": self.gallery}
        return {name: images for name, images in parts.items() if images is not None}


def files(folder, paths, classes, names=None, all_classes=None):
    """An image set of files.

    Args:
        folder: what relative `paths` are relative to.
        paths: str [n].
        classes: class of each image, sortable keys [n].
        names: {key: class name}; None takes the keys.
        all_classes: keys of all the classes, if `classes` may lack some (query and gallery).

    Returns:
        `image_set.ImageSet`; classes are numbered in the order of their keys.
    """
    keys, labels = np.unique(np.asarray(classes), return_inverse=True)
    if all_classes is not None:
        labels = np.searchsorted(np.unique(np.asarray(all_classes)), np.asarray(classes))
        keys = np.unique(np.asarray(all_classes))
    return image_set.ImageSet(
        images=np.array([os.path.join(folder, path) for path in paths], dtype=str),
        labels=labels.reshape(-1).astype(np.int32),
        class_names=[str(names[key] if names else key) for key in keys.tolist()],
    )
