"""Threshold-consistent margin: a pair loss, and a pull of all classes to one threshold."""

from typing import Any, Self

import gin
import tensorflow as tf

from ccpdml.bounds import Cosine, NonNegative, checked
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.ops import distances as measures
from ccpdml.ops import reduction

# The cosine of two embeddings of length 1, by what a loss measures.
_COSINES = {
    measures.euclidean: lambda distances: 1.0 - distances**2 / 2.0,
    measures.negative_cosine: lambda distances: -distances,
}


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ThresholdConsistentLoss(PairLoss):
    """TCM: a pair loss, and a cost of the pairs on the wrong side of two fixed cosines.

    Positive pairs below `positive_cosine` pay what they lack, negative ones above `negative_cosine`
    what they have too much, each averaged over those that pay. The cosines are the same for all
    classes, so that one threshold between them serves all. Embeddings have length 1 here: shorter
    ones count by their distance.

    Args:
        loss: a `PairLoss` of Euclidean distances or of cosines. A `MinedLoss` goes around this one.
        positive_cosine: from which on a positive pair is free (m⁺).
        negative_cosine: up to which a negative pair is free (m⁻).
        positive_weight: of the positive pairs' cost (λ⁺).
        negative_weight: of the negative pairs' cost (λ⁻).

    Raises:
        ValueError: for a loss that measures something else.

    Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning"
    (ICLR 2024, arXiv 2307.04047), section 4.
    """

    @checked
    def __init__(
        self,
        loss: tf.keras.layers.Layer,
        positive_cosine: Cosine = 0.9,
        negative_cosine: Cosine = 0.5,
        positive_weight: NonNegative = 1.0,
        negative_weight: NonNegative = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(loss, PairLoss) or loss.measure not in _COSINES:
            raise ValueError(
                "`ThresholdConsistentLoss.loss` must be a pair loss of Euclidean distances or "
                f"cosines; a `MinedLoss` goes around it. Received: loss={type(loss).__name__}"
            )
        self.loss = loss
        self.positive_cosine = positive_cosine
        self.negative_cosine = negative_cosine
        self.positive_weight = positive_weight
        self.negative_weight = negative_weight

    def measure(self, anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
        """The distances of the wrapped loss."""
        return self.loss.measure(anchors, references)

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        cosines = _COSINES[self.loss.measure](distances)
        pull = reduction.mean_of_nonzero(positive * tf.nn.relu(self.positive_cosine - cosines))
        push = reduction.mean_of_nonzero(negative * tf.nn.relu(cosines - self.negative_cosine))
        regularizer = self.positive_weight * pull + self.negative_weight * push
        return self.loss(distances, positive, negative) + regularizer

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "loss": tf.keras.layers.serialize(self.loss),
            "positive_cosine": self.positive_cosine,
            "negative_cosine": self.negative_cosine,
            "positive_weight": self.positive_weight,
            "negative_weight": self.negative_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the loss inside."""
        return cls(**(config | {"loss": tf.keras.layers.deserialize(config["loss"])}))
