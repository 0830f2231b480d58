"""Miners choose the pairs that a pair loss sees: (distances, positive, negative) -> two masks."""

from typing import Annotated, Any, Self

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Positive, Range, Whole, checked
from ccpdml.losses import state
from ccpdml.losses.pair_loss import PairLoss


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class MinedLoss(PairLoss):
    """A pair loss on the pairs that a miner chooses; itself a pair loss.

    Args:
        loss: a `PairLoss`.
        miner: layer of (distances, positive, negative) -> (positive, negative).
    """

    def __init__(self, loss: tf.keras.layers.Layer, miner: tf.keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.loss = loss
        self.miner = miner

    def measure(self, anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
        """The distances of the wrapped loss; the miner is told their embeddings' size."""
        self.miner.learn_size(anchors.shape[-1])
        return self.loss.measure(anchors, references)

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        return self.loss(distances, *self.miner(distances, positive, negative))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "loss": tf.keras.layers.serialize(self.loss),
            "miner": tf.keras.layers.serialize(self.miner),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the loss and the miner."""
        nested = {name: tf.keras.layers.deserialize(config[name]) for name in ("loss", "miner")}
        return cls(**(config | nested))


class Miner(tf.keras.layers.Layer):
    """Base of the miners: `call(distances, positive, negative)` -> masks of the same shape."""

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))

    def learn_size(self, embedding_size: int) -> None:
        """Hears how many entries the embeddings have whose distances come next."""


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class HardNegativeMiner(Miner):
    """Keeps the closest negatives of an anchor, as many as the most positives any anchor has.

    Positives all stay. An anchor with fewer negatives keeps those it has.

    Args:
        num_negatives: negatives kept per anchor, int; None is the largest number of positives of
            any anchor, at least 1, as in the original program.
    """

    @checked
    def __init__(self, num_negatives: Count | None = None, **kwargs):
        super().__init__(**kwargs)
        self.num_negatives = num_negatives

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        num_kept = self.num_negatives
        if num_kept is None:
            num_kept = tf.maximum(1, tf.cast(tf.reduce_max(tf.reduce_sum(positive, -1)), tf.int32))
        num_kept = tf.minimum(num_kept, tf.shape(negative)[-1])
        closeness = tf.where(negative > 0.0, -distances, distances.dtype.min)
        columns = tf.math.top_k(tf.stop_gradient(closeness), num_kept).indices
        ones = tf.ones_like(columns, dtype=negative.dtype)
        return positive, negative * _count(columns, ones, tf.shape(negative))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_negatives": self.num_negatives}


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class DistanceWeightedMiner(Miner):
    """Draws a negative for every positive pair, each distance as likely as any other.

    Distances between random points of the unit sphere in `embedding_size` dimensions crowd around
    √2; a negative's weight is one over the density of its distance. A pair's negatives count once
    however often they are drawn. Draws depend on the seed and on how many there were before, which
    checkpoints keep.

    Args:
        embedding_size: dimension of the embeddings, int; None learns it from the embeddings that
            the loss compares.
        cutoff: smaller distances weigh as much as this one.
        nonzero_loss_cutoff: negatives at this distance or farther are not drawn, unless the anchor
            has no other.
        seed: int.

    Raises:
        ValueError: if the embeddings have another size, or distances come first and alone.

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning" (2017), section 4.1.
    """

    @checked
    def __init__(
        self,
        embedding_size: Annotated[int, Range(2)] | None = None,
        cutoff: Positive = 0.5,
        nonzero_loss_cutoff: Positive = 1.4,
        seed: Whole = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0.0 < cutoff < nonzero_loss_cutoff < 2.0:
            raise ValueError(
                "`cutoff` and `nonzero_loss_cutoff` must be in order and inside 0..2, the "
                f"distances of the unit ball. Received: {cutoff=}, {nonzero_loss_cutoff=}"
            )
        self.embedding_size = embedding_size
        self.learned_size = embedding_size
        self.cutoff = cutoff
        self.nonzero_loss_cutoff = nonzero_loss_cutoff
        self.seed = seed
        self.num_draws = state.add(self, "num_draws", dtype="int32")

    def learn_size(self, embedding_size: int) -> None:
        if None not in (embedding_size, self.embedding_size) and (
            embedding_size != self.embedding_size
        ):
            raise ValueError(
                "`DistanceWeightedMiner.embedding_size` must be that of the embeddings, "
                f"{embedding_size}; None learns it. Received: embedding_size={self.embedding_size}"
            )
        self.learned_size = embedding_size or self.embedding_size

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        if self.learned_size is None:
            raise ValueError(
                "`DistanceWeightedMiner.embedding_size` must be given where the miner sees "
                "distances only. Received: embedding_size=None"
            )
        log_weights = self._log_weights(tf.stop_gradient(distances), negative)
        # An anchor draws as often as it has positives; the rest of its row is not asked for.
        counts = tf.cast(tf.reduce_sum(positive, -1), tf.int32)
        most = tf.reduce_max(counts)
        num_draws = state.read(self.num_draws)
        self.num_draws.assign(num_draws + 1)
        columns = tf.random.stateless_categorical(
            log_weights, most, seed=tf.stack([self.seed, num_draws]), dtype=tf.int32
        )
        asked = tf.sequence_mask(counts, most, dtype=negative.dtype)
        return positive, negative * tf.minimum(_count(columns, asked, tf.shape(negative)), 1.0)

    def _log_weights(self, distances, negative):
        """Log of one over the density of distances on the sphere, up to a constant per anchor."""
        size = float(self.learned_size)
        clipped = tf.clip_by_value(distances, self.cutoff, self.nonzero_loss_cutoff)
        log_weights = (2.0 - size) * tf.math.log(clipped) - 0.5 * (size - 3.0) * tf.math.log(
            1.0 - 0.25 * clipped**2
        )
        is_near = negative * tf.cast(distances < self.nonzero_loss_cutoff, negative.dtype)
        has_near = tf.reduce_any(is_near > 0.0, axis=-1, keepdims=True)
        allowed = tf.where(has_near, is_near, negative)
        return tf.where(allowed > 0.0, log_weights, -1e9)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "embedding_size": self.embedding_size,
            "cutoff": self.cutoff,
            "nonzero_loss_cutoff": self.nonzero_loss_cutoff,
            "seed": self.seed,
        }


def _count(columns, weights, shape):
    """Adds up `weights` [n, k] at `columns` [n, k] of a matrix of `shape` that is otherwise 0."""
    rows = tf.broadcast_to(tf.range(shape[0])[:, None], tf.shape(columns))
    return tf.scatter_nd(tf.stack([rows, columns], axis=-1), weights, shape)
