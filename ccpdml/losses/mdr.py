"""Multi-level distance regularization."""

from collections.abc import Sequence
from typing import Annotated, Any

import gin
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Length, NonNegative, Rate, Real, checked
from ccpdml.losses import state
from ccpdml.losses.criterion import Criterion
from ccpdml.ops import distances, masks, precision

# Means and deviations of distances below it count as this long: gradients are one over them.
_SHORTEST = 1e-4


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class DistanceRegularizedLoss(Criterion):
    """MDR: a pair loss of the batch, and a pull of every distance to the nearest of a few levels.

    Embeddings are not normalized to length, in evaluation and export neither, but divided by their
    mean distance before the pair loss sees them. Distances of the batch, standardized by running
    statistics, pay their distance to the nearest level, averaged, times `level_weight`; levels are
    trained and pay `level_decay * sum(level²)`. The distance of an embedding to itself, 0, takes
    part.

    Args:
        loss: a `PairLoss`.
        levels: where the levels begin, in standard deviations from the mean, floats (s).
        level_weight: weight of the pull to the levels (λ).
        level_decay: weight of the levels' own cost; the original program's.
        momentum: what the running mean and deviation keep at each step.

    Source: Kim and Park, "Multi-Level Distance Regularization for Deep Metric Learning" (2021).
    """

    needs_pairs = True
    takes_several_labels = True
    default_normalization = layers.NoNormalization

    @checked
    def __init__(
        self,
        loss: tf.keras.layers.Layer,
        levels: Annotated[Sequence[Real], Length(1)] = (-3.0, 0.0, 3.0),
        level_weight: NonNegative = 1.0,
        level_decay: NonNegative = 0.01,
        momentum: Rate = 0.9,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.loss = loss
        self.initial_levels = tuple(levels)
        self.level_weight = level_weight
        self.level_decay = level_decay
        self.momentum = momentum
        self.levels = self.add_weight(
            name="levels",
            shape=(len(self.initial_levels),),
            initializer=lambda shape, dtype=None, **_: tf.constant(self.initial_levels, dtype),
        )
        self.running_mean = state.add(self, "running_mean")
        self.running_deviation = state.add(self, "running_deviation")
        self.num_steps = state.add(self, "num_steps", dtype="int32")

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        embeddings = precision.at_least_float32(embeddings)
        # The largest entry is divided out first: squares of distances may overflow or vanish.
        size = tf.stop_gradient(tf.reduce_max(tf.abs(embeddings)))
        measured = distances.euclidean(tf.math.divide_no_nan(embeddings, size))
        scaled = embeddings / tf.maximum(size * tf.reduce_mean(measured), _SHORTEST)
        of_pairs = self.loss.measure(scaled)
        levels = tf.convert_to_tensor(self.levels)
        return (
            self.loss(of_pairs, *masks.pairs(labels))
            + self.level_weight * self._distance_to_levels(measured, size, levels)
            + self.level_decay * tf.reduce_sum(levels**2)
        )

    def _distance_to_levels(self, measured, size, levels):
        """Mean distance of the standardized `size * measured` to the nearest level."""
        mean, deviation = self._update_statistics(tf.stop_gradient(measured), size)
        standardized = (size * measured - mean) / tf.maximum(deviation, _SHORTEST)
        return tf.reduce_mean(tf.reduce_min(tf.abs(standardized[..., None] - levels), axis=-1))

    def _update_statistics(self, measured, size):
        mean, variance = tf.nn.moments(measured, axes=[0, 1])
        num_steps = state.read(self.num_steps)
        self.num_steps.assign(num_steps + 1)
        kept = tf.where(num_steps == 0, 0.0, self.momentum)
        mean = kept * state.read(self.running_mean) + (1.0 - kept) * size * mean
        deviation = size * tf.sqrt(variance)
        deviation = kept * state.read(self.running_deviation) + (1.0 - kept) * deviation
        self.running_mean.assign(mean)
        self.running_deviation.assign(deviation)
        return mean, deviation

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "loss": tf.keras.layers.serialize(self.loss),
            "levels": self.initial_levels,
            "level_weight": self.level_weight,
            "level_decay": self.level_decay,
            "momentum": self.momentum,
        }
