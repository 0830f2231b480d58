"""Batches of P classes x M samples, and pools of candidates per class: images by their indices.

Everything is a pure function of (seed, step), so a run resumes by asking for the next step and
every worker of a cluster sees the same global batch.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import gin
import numpy as np
import numpy.typing as npt
from absl import logging

from ccpdml.bounds import Count, Whole, checked
from ccpdml.data import streams


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

    Where images have several labels, one is drawn for any of them; what a batch holds already is
    replaced by another image of the class, so that there images of a class may come unevenly.

    Args:
        labels: class of each image, int [n]; every class in 0..max(labels) has an image. Or several
            labels of each, bool [n, num_classes].
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
        self._have_several = np.ndim(labels) == 2
        self._seed = seed
        self.num_classes = len(self._images_of_class)
        self.classes_per_batch = classes_per_batch
        self.samples_per_class = samples_per_class
        sizes = np.array([len(images) for images in self._images_of_class])
        self.num_small_classes = int(np.sum(sizes < samples_per_class))
        self._check(largest=int(sizes.max()))
        self._class_stream = streams.Stream(self.num_classes, classes_per_batch, (seed, 0))
        self._image_streams = [
            streams.Stream(size, samples_per_class, (seed, 1 + label))
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
        classes, visits = (each.tolist() for each in self._classes(step))
        samples = [
            self._images_of_class[label][self._image_streams[label].group(visit)]
            for label, visit in zip(classes, visits, strict=True)
        ]
        if self._have_several:
            samples = self._without_repeats(samples, classes, step)
        return np.concatenate(samples)

    def _without_repeats(self, samples, classes, step):
        """Samples of each class, with others of it for those that the batch holds already."""
        rng = np.random.default_rng([self._seed, 0, 0, 1 + step])
        held, kept = np.arange(0), []
        for own, label in zip(samples, classes, strict=True):
            spare = np.setdiff1d(self._images_of_class[label], own)
            candidates = np.concatenate([np.unique(own), rng.permutation(spare)])
            fresh = candidates[~np.isin(candidates, held)]
            # A class that has none left repeats its own, as a small one does.
            kept.append(np.resize(fresh if len(fresh) else own, self.samples_per_class))
            held = np.concatenate([held, kept[-1]])
        return kept

    def _classes(self, step):
        """Classes of one batch, and how often each came in batches before; two int64 [P]."""
        return self._class_stream.group(step), self._class_stream.visits(step)


@gin.register
class CategoryBalancedSampler(ClassBalancedSampler):
    """Batches of classes out of few categories, which are harder to tell apart than any classes.

    `categories_per_batch` categories are drawn, of each equally many classes, and of each of these
    `samples_per_class` images. Every class of a category comes once before any of them repeats, and
    every image of a class likewise; a batch holds neither a category nor a class twice.

    Args:
        labels: class of each image, int [n]; every class in 0..max(labels) has an image.
        classes_per_batch: P, a multiple of `categories_per_batch`, int.
        samples_per_class: M, int from 1 to the size of the largest class.
        seed: int >= 0.
        categories: the category of each class, str [num_classes]; a run passes those of its data.
        categories_per_batch: categories in a batch, int from 1 to their number.
        weigh_by_classes: whether a category is drawn by the number of its classes, so that all
            classes come about equally often; otherwise all categories come equally often, and
            the classes of small ones more often.
        join_small: whether categories with fewer classes than a batch takes of one are joined and
            count as one category; otherwise they are refused.

    Raises:
        ValueError: if P, M or the number of categories does not fit the classes, a category is
            too small, or the categories are not known.

    Source: hierarchical sampling, as `HierarchicalSampler` of pytorch-metric-learning and
        `CategoryBalanceSampler` of open-metric-learning do it; as streams, this is our own.
    """

    @checked
    def __init__(
        self,
        labels: npt.ArrayLike,
        classes_per_batch: Count,
        samples_per_class: Count,
        seed: Whole = 0,
        categories: Sequence[str] = (),
        categories_per_batch: Count = 2,
        weigh_by_classes: bool = True,
        join_small: bool = False,
    ):
        super().__init__(labels, classes_per_batch, samples_per_class, seed)
        self.categories_per_batch = categories_per_batch
        self._check_categories(categories)
        self._taken = classes_per_batch // categories_per_batch
        classes_of = _classes_of_category(categories)
        if join_small:
            classes_of = _joined(classes_of, self._taken)
        self._check_sizes(classes_of)
        self.classes_of_category = classes_of
        sizes = np.array([len(classes) for classes in classes_of.values()])
        weights = sizes if weigh_by_classes else np.ones_like(sizes)
        self._category_stream = streams.WeightedStream(weights, categories_per_batch, (seed, 0, 0))
        self._streams_of_category = [
            (classes, streams.Stream(len(classes), self._taken, (seed, 0, 1 + number)))
            for number, classes in enumerate(classes_of.values())
        ]

    def _check_categories(self, categories):
        if len(categories) != self.num_classes:
            raise ValueError(
                "`CategoryBalancedSampler` needs the category of each class, which these data do "
                "not tell: those of `sop` do, of a table the column that "
                "`data.load.category_column` names, and any `data.ImageSet` with `categories`. "
                f"Received: {len(categories)} categories, {self.num_classes} classes"
            )
        if self.classes_per_batch % self.categories_per_batch:
            raise ValueError(
                "`train.classes_per_batch` must be a multiple of "
                "`CategoryBalancedSampler.categories_per_batch`. Received: "
                f"classes_per_batch={self.classes_per_batch}, "
                f"categories_per_batch={self.categories_per_batch}"
            )

    def _check_sizes(self, classes_of):
        small = [name for name, classes in classes_of.items() if len(classes) < self._taken]
        if small:
            first = small[0]
            raise ValueError(
                f"Every category must have the {self._taken} classes that a batch takes of it "
                "(`train.classes_per_batch` through "
                "`CategoryBalancedSampler.categories_per_batch`): lower the one, raise the other, "
                "or bind `CategoryBalancedSampler.join_small = True`. Received: "
                f"{len(small)} of {len(classes_of)} categories with fewer classes to train on, "
                f"such as {repr(first):.100} with {len(classes_of[first])}"
            )
        if len(classes_of) < self.categories_per_batch:
            raise ValueError(
                "`CategoryBalancedSampler.categories_per_batch` must be in 1..number of categories "
                f"to train on = {len(classes_of)}. "
                f"Received: categories_per_batch={self.categories_per_batch}"
            )

    def _classes(self, step):
        classes, visits = [], []
        for category, visit in zip(*self._category_stream.group(step), strict=True):
            own, stream = self._streams_of_category[category]
            classes.append(own[stream.group(visit)])
            visits.append(stream.visits(visit))
        return np.concatenate(classes), np.concatenate(visits)


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


def _classes_of_category(categories):
    """{category: its classes, int64 [k]}, in the order of the names."""
    names, numbers = np.unique(np.asarray(categories, str), return_inverse=True)
    return {name: np.flatnonzero(numbers == i) for i, name in enumerate(names.tolist())}


def _joined(classes_of, least):
    """The same, with the categories of fewer than `least` classes as one, by all their names.

    Where those have too few classes together, the smallest of the others join them.
    """
    sizes = sorted((len(classes), name) for name, classes in classes_of.items())
    num_small = sum(size < least for size, _ in sizes)
    if not num_small:
        return classes_of
    while sum(size for size, _ in sizes[:num_small]) < least:
        num_small += 1
    together = tuple(sorted(name for _, name in sizes[:num_small]))
    kept = {name: classes for name, classes in classes_of.items() if name not in together}
    return kept | {together: np.sort(np.concatenate([classes_of[name] for name in together]))}


def _images_of_class(labels):
    """Indices of each class's images, ascending: a list of int64 arrays; as of the samplers."""
    labels = np.asarray(labels)
    is_several = labels.ndim == 2
    sizes = labels.sum(axis=0) if is_several else np.bincount(labels)
    if not sizes.size or not sizes.all():
        raise ValueError(
            "`labels` must hold every class from 0 up. "
            f"Received: {labels.size} labels, none of class {np.flatnonzero(sizes == 0)[:5]}"
        )
    if is_several:
        return [np.flatnonzero(own) for own in labels.T]
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
