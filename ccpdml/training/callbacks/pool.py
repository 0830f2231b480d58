"""Pools of embeddings for the core-set."""

from typing import Any, Protocol, runtime_checkable

import gin
import numpy as np
import tensorflow as tf

from ccpdml.bounds import Count, Whole, checked
from ccpdml.data import pipelines, samplers, views
from ccpdml.data.image_set import ImageSet


@runtime_checkable
class Pool(Protocol):
    """A function that gives candidates of every class, of which proxies are picked.

    If it gives others each time it is to be `Stateful` as well: a resumed run then draws what the
    run would have drawn that stopped.
    """

    def __call__(self) -> tf.Tensor:
        """Returns embeddings, float [num_classes, pool_size, dim], not normalized."""


@runtime_checkable
class PoolOfImages(Pool, Protocol):
    """A pool that tells which images its points are of.

    Attributes:
        drawn: rows of the training set, int [num_classes, pool_size]; None before the first pool.
    """

    drawn: np.ndarray | None


@gin.register
class PoolDraw:
    """Draws images of every class and embeds them with the learner as it is.

    Args:
        learner: a compiled `MetricLearner`.
        image_set: `data.ImageSet` of the training split.
        pool_size: images per class (b), int; 12 for CUB and Cars, 7 for SOP and In-shop.
        augmented: whether images are seen as in training, each draw another way (the original's
            habit). Otherwise they are seen as in evaluation, and each is embedded once, even if it
            is drawn twice.
        plain_view: what evaluation makes of an image; None takes it as it is.
        training_view: what training makes of it; needed if `augmented`.
        batch_size: images embedded at a time, int.
        seed: of the draws, int.

    Attributes:
        drawn: rows of `image_set` that the last pool is of, int64 [num_classes, pool_size]; None
            before the first.

    Source: supplement, 1.2.
    """

    @checked
    def __init__(
        self,
        learner: tf.keras.Model,
        image_set: ImageSet,
        pool_size: Count = 12,
        augmented: bool = False,
        plain_view: views.View | None = None,
        training_view: views.View | None = None,
        batch_size: Count = 256,
        seed: Whole = 0,
    ):
        view = training_view if augmented else plain_view or views.Plain()
        if view is None:
            raise ValueError("`augmented` needs a `training_view`.")
        self.learner = learner
        self.image_set = image_set
        self.pool_size = pool_size
        self.augmented = augmented
        self.view = view
        self.batch_size = batch_size
        self.seed = seed
        self.num_draws = 0
        self.drawn: np.ndarray | None = None

    def __call__(self) -> tf.Tensor:
        """Returns the embeddings of a fresh pool, float32 [num_classes, pool_size, dim]."""
        draws = samplers.pool_indices(
            self.image_set.labels, self.pool_size, self.seed, self.num_draws
        )
        self.num_draws += 1
        self.drawn = draws
        images, places = draws.reshape(-1), np.arange(draws.size)
        if not self.augmented:
            images, places = np.unique(draws, return_inverse=True)
        batches = pipelines.image_batches(
            self.image_set, self.view, self.batch_size, images, seed=self.seed + self.num_draws
        )
        embeddings = self.learner.predict_raw(batches, verbose=0)
        return embeddings[places.reshape(draws.shape)]

    def get_state(self) -> dict[str, Any]:
        """State for checkpoints: the number of pools drawn, on which the next one depends."""
        return {"num_draws": self.num_draws}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        self.num_draws = state["num_draws"]
