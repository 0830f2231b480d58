"""Images with class labels, and the class-disjoint splits made of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ccpdml.data.stored import StoredVectors


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of a few classes: files on disk, pixels in memory, or vectors that stand for them.

    Attributes:
        images: file paths, str [n]; or pixels, uint8 [n, height, width, channels]; or features,
            float32 [n, dim], or of several views of each image [n, views, dim]; features may be
            `StoredVectors`, which stay in their files.
        labels: class of each image, int32 [n] in 0..num_classes-1.
        class_names: one name per class, tuple of str. Every class has an image, except in a
            query/gallery pair: the two share their class names.
        names: a readable name per image, tuple of str, unless it is a file; numbers if left out.
        categories: the category (super-class) of each class, such as "bicycle" of a product, tuple
            of str; empty if they are not known. Each class is in one.
        several: all labels of each image where it may have more than one, bool [n, num_classes];
            `labels` then has one of each, by which batches of classes are told in words and
            pictures. None where each image is of one class.
    """

    images: np.ndarray | StoredVectors
    labels: np.ndarray
    class_names: tuple[str, ...]
    names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    several: np.ndarray | None = None

    def __post_init__(self):
        images, labels = self.images, np.asarray(self.labels)
        images = images if isinstance(images, StoredVectors) else np.asarray(images)
        if images.ndim > 1 and not self.names:
            object.__setattr__(self, "names", tuple(f"image {i}" for i in range(len(images))))
        _check_images(images, self.names)
        _check_labels(labels, len(images), len(self.class_names))
        _check_categories(self.categories, len(self.class_names))
        _check_several(self.several, labels, len(self.class_names))
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels.astype(np.int32))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "categories", tuple(self.categories))

    def __len__(self):
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_categories(self) -> np.ndarray | None:
        """Category of each image, str [n]; None if the categories are not known."""
        return np.array(self.categories)[self.labels] if self.categories else None

    @property
    def all_labels(self) -> np.ndarray:
        """The labels that decide which images match: `several` if there are, else `labels`."""
        return self.labels if self.several is None else self.several

    @property
    def present(self) -> np.ndarray:
        """The classes that some image has, ascending, int [k]."""
        if self.several is None:
            return np.unique(self.labels)
        return np.flatnonzero(self.several.any(axis=0))

    def names_of(self, index: int) -> str:
        """Names of the class, or of all labels, of an image, joined by commas."""
        if self.several is None:
            return self.class_names[self.labels[index]]
        return ", ".join(self.class_names[label] for label in np.flatnonzero(self.several[index]))

    @property
    def in_memory(self) -> bool:
        return self.images.ndim > 1

    @property
    def paths(self) -> tuple[str, ...]:
        """Name of each image: its path, or its name when there is no file; tuple of str."""
        return self.names if self.in_memory else tuple(np.asarray(self.images).tolist())

    @property
    def to_draw(self) -> np.ndarray | StoredVectors:
        """The images, or of several stored views of each the first."""
        if self.images.ndim != 3:
            return self.images
        if isinstance(self.images, StoredVectors):
            return self.images.first_views()
        return self.images[:, 0]

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The images at `indices` (int [k]) with all the classes kept."""
        names = tuple(self.names[i] for i in indices) if self.names else ()
        images: np.ndarray | StoredVectors
        if isinstance(self.images, StoredVectors):
            images = self.images.select(indices)
        else:
            images = self.images[indices]
        several = None if self.several is None else self.several[indices]
        return dataclasses.replace(
            self, images=images, labels=self.labels[indices], names=names, several=several
        )

    def joined(self, other: "ImageSet") -> "ImageSet":
        """These images and another set's, whose classes are counted on after these.

        Raises:
            ValueError: if only one of them has categories, or one has several labels of an image.
        """
        if self.several is not None or other.several is not None:
            raise ValueError("Sets of images with several labels cannot be joined.")
        return ImageSet(
            images=_joined(self.images, other.images),
            labels=np.concatenate([self.labels, other.labels + self.num_classes]),
            class_names=self.class_names + other.class_names,
            names=self.names + other.names,
            categories=self.categories + other.categories,
        )

    def select_classes(self, class_ids: npt.ArrayLike) -> Self:
        """The images of some classes, relabelled 0..k-1 in the order of `class_ids` (int [k]).

        Of images with several labels those whose `labels` are among them, with these labels alone.

        Raises:
            ValueError: if an id repeats or is out of range.
        """
        class_ids = np.asarray(class_ids, np.int64)
        in_range = np.all((class_ids >= 0) & (class_ids < self.num_classes))
        if not in_range or len(np.unique(class_ids)) != len(class_ids):
            raise ValueError(
                f"`class_ids` must be distinct and in 0..{self.num_classes - 1}. "
                f"Received: class_ids={class_ids.tolist()}"
            )
        new_label = np.full(self.num_classes, -1, np.int32)
        new_label[class_ids] = np.arange(len(class_ids))
        kept = self.select(np.flatnonzero(new_label[self.labels] >= 0))
        return dataclasses.replace(
            kept,
            labels=new_label[kept.labels],
            class_names=tuple(self.class_names[i] for i in class_ids),
            categories=tuple(self.categories[i] for i in class_ids) if self.categories else (),
            several=None if kept.several is None else kept.several[:, class_ids],
        )


@dataclasses.dataclass(frozen=True)
class Splits:
    """Class-disjoint parts of a data set.

    Attributes:
        train: images to learn from.
        validation: images to select models on; None where no validation classes were asked for.
        test: images to report on; the queries when there is a gallery.
        gallery: what the queries are searched in; None for self-retrieval.
        info: how the parts came about, ready for JSON; stored with the results.
    """

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet
    gallery: ImageSet | None = None
    info: dict[str, Any] = dataclasses.field(default_factory=dict)


def _joined(one, other):
    if isinstance(one, StoredVectors) and isinstance(other, StoredVectors):
        return one.joined(other)
    return np.concatenate([one, other])


def _check_images(images, names):
    is_paths = images.ndim == 1 and images.dtype.kind == "U"
    is_pixels = images.ndim == 4 and images.dtype == np.uint8
    is_features = images.ndim in (2, 3) and images.dtype == np.float32
    if not (is_paths or is_pixels or is_features):
        raise ValueError(
            "`images` must be str [n], uint8 [n, height, width, channels], or float32 [n, dim] or "
            "[n, views, dim]. "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )
    expected = 0 if is_paths else len(images)
    if len(names) != expected:
        raise ValueError(
            "`names` must name each image held in memory, and no file. "
            f"Received: {len(names)} names, {len(images)} images of dtype {images.dtype}"
        )


def _check_labels(labels, num_images, num_classes):
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be integers of shape ({num_images},). "
            f"Received: dtype={labels.dtype}, shape={labels.shape}"
        )
    if num_images and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"`labels` must be in 0..{num_classes - 1}, one class name each. "
            f"Received: labels in {labels.min()}..{labels.max()}"
        )


def _check_categories(categories, num_classes):
    if len(categories) not in (0, num_classes):
        raise ValueError(
            "`categories` must hold one for each class, or be empty. "
            f"Received: {len(categories)} categories, {num_classes} classes"
        )


def _check_several(several, labels, num_classes):
    if several is None:
        return
    expected = (len(labels), num_classes)
    if several.shape != expected or several.dtype != bool:
        raise ValueError(
            f"`several` must be bool of shape {expected}, or None. "
            f"Received: dtype={several.dtype}, shape={several.shape}"
        )
    if not several[np.arange(len(labels)), labels].all():
        raise ValueError("`labels` must have one of the labels that `several` has of each image.")
