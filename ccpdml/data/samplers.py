"""Batches of P classes x M samples, and pools of candidates per class: images by their indices.

Everything is a pure function of (seed, step), so a run resumes by asking for the next step and
every worker of a cluster sees the same global batch.
"""

from typing import Protocol, runtime_checkable

import gin
import numpy as np
import numpy.typing as npt
from absl import logging

from ccpdml.bounds import Count, Whole, checked


@runtime_checkable
class Sampler(Protocol):
    """Choice of the images that make up a batch, the same whenever it is asked.

    Attributes:
        batch_size: images in a batch, int.
    """

    @property
    def batch_size(self) -> int: ...

    def batch(self, step: int) -> np.ndarray:
        """Returns indices of images, int64 [batch_size].

        Args:
            step: number of the batch, int >= 0.
        """


@gin.register
class ClassBalancedSampler:
    """Batches of `classes_per_batch` classes with `samples_per_class` images each.

    Every class comes once per pass over the classes and every image of a class once before any
    of them repeats. A batch never holds a class twice, also where a pass ends inside it, nor an
    image twice, unless its class is smaller than `samples_per_class`: such a class shows all its
    images before one repeats, which is counted in `num_small_classes` and logged.

    Args:
        labels: class of each image, int [n]; every class in 0..max(labels) has an image.
        classes_per_batch: P, int in 1..number of classes.
        samples_per_class: M, int from 1 to the size of the largest class.
        seed: int >= 0.

    Raises:
        ValueError: if P or M does not fit the classes.
    """

    @checked
    def __init__(
        self,
        labels: npt.ArrayLike,
        classes_per_batch: Count,
        samples_per_class: Count,
        seed: Whole = 0,
    ):
        self._images_of_class = _images_of_class(labels)
        self.num_classes = len(self._images_of_class)
        self.classes_per_batch = classes_per_batch
        self.samples_per_class = samples_per_class
        sizes = np.array([len(images) for images in self._images_of_class])
        self.num_small_classes = int(np.sum(sizes < samples_per_class))
        self._check(largest=int(sizes.max()))
        self._class_stream = _Stream(self.num_classes, classes_per_batch, (seed, 0))
        self._image_streams = [
            _Stream(size, samples_per_class, (seed, 1 + label))
            for label, size in enumerate(sizes.tolist())
        ]

    def _check(self, largest):
        if not 1 <= self.classes_per_batch <= self.num_classes:
            raise ValueError(
                "`train.classes_per_batch` must be in 1..number of training "
                f"classes = {self.num_classes}; lower it, or train on more classes. "
                f"Received: classes_per_batch={self.classes_per_batch}"
            )
        if not 1 <= self.samples_per_class <= largest:
            raise ValueError(
                "`train.samples_per_class` must be in 1..size of the "
                f"largest class = {largest}. Received: samples_per_class={self.samples_per_class}"
            )
        if self.num_small_classes:
            logging.warning(
                "%d of %d classes have fewer than %d images: each of their groups repeats some.",
                *(self.num_small_classes, self.num_classes, self.samples_per_class),
            )

    @property
    def batch_size(self) -> int:
        return self.classes_per_batch * self.samples_per_class

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of one batch, class after class; int64 [P * M].

        Args:
            step: which batch, int >= 0. Consecutive steps are cheapest.
        """
        classes = self._class_stream.group(step)
        first = step * self.classes_per_batch
        visits = np.arange(first, first + self.classes_per_batch) // self.num_classes
        samples = [
            self._images_of_class[label][self._image_streams[label].group(visit)]
            for label, visit in zip(classes.tolist(), visits.tolist(), strict=True)
        ]
        return np.concatenate(samples)


def pool_indices(labels: npt.ArrayLike, pool_size: int, seed: int, draw: int) -> np.ndarray:
    """Draws images of each class at random, as candidates for a core-set.

    A class with enough images gives `pool_size` different ones. A smaller class gives each of its
    images once, then goes round them again.

    Args:
        labels: class of each image, int [n]; every class in 0..max(labels) has an image.
        pool_size: images per class, int >= 1.
        seed: int >= 0.
        draw: which draw, int >= 0.

    Returns:
        Indices of images, int64 [num_classes, pool_size].

    Raises:
        ValueError: if `pool_size` is out of range or a class is empty.
    """
    if pool_size < 1:
        raise ValueError(f"`pool_size` must be at least 1. Received: {pool_size=}")
    rng = np.random.default_rng([seed, draw])
    return np.stack(
        [np.resize(rng.permutation(images), pool_size) for images in _images_of_class(labels)]
    )


def _images_of_class(labels):
    """Indices of each class's images, ascending: a list of int64 arrays."""
    labels = np.asarray(labels)
    sizes = np.bincount(labels)
    if not sizes.size or not sizes.all():
        raise ValueError(
            "`labels` must hold every class from 0 up. "
            f"Received: {labels.size} labels, none of class {np.flatnonzero(sizes == 0)[:5]}"
        )
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])


class _Stream:
    """Random permutations of 0..num_items-1 end to end, cut into groups where nothing repeats.

    A group may begin at the end of one permutation and go on in the next. Items it already has are
    then passed over until it is full, and come after it, in order. Each permutation thus depends
    on the one before it: the last two are kept, earlier ones are made again when asked for.
    Where a group holds more than all items, each of them comes before one repeats in it.
    """

    def __init__(self, num_items, group_size, key):
        self._num_items, self._group_size, self._key = num_items, group_size, key
        self._last = -1, None, None  # Round, its permutation, and the permutation before it.

    def group(self, index):
        """Items of one group; int64 [group_size]."""
        position, stop = index * self._group_size, (index + 1) * self._group_size
        parts = []
        while position < stop:
            round_index, offset = divmod(position, self._num_items)
            parts.append(self._permutation(round_index)[offset : offset + stop - position])
            position += len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _permutation(self, round_index):
        # One tuple, replaced as a whole: threads that share the stream only lose time.
        last, items, before = self._last
        if round_index == last - 1:
            return before
        if round_index < last:
            last, items = -1, None
        while last < round_index:
            last, items, before = last + 1, self._next(last + 1, items), items
        self._last = last, items, before
        return items

    def _next(self, round_index, before):
        items = np.random.default_rng([*self._key, round_index]).permutation(self._num_items)
        taken = round_index * self._num_items % self._group_size
        if not taken or taken >= self._num_items:
            return items
        fresh = np.setdiff1d(items, before[-taken:], assume_unique=True)
        head = fresh[: self._group_size - taken]
        return np.concatenate([head, np.setdiff1d(items, head, assume_unique=True)])
