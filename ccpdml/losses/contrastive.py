"""Contrastive losses: C1 on cosines, C2 on distances with two margins."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Cosine, NonNegative, checked
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.ops import distances, reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ContrastiveLoss(PairLoss):
    """C2: mean of the terms above 0 of all pairs, (d - pos_margin)+ or (neg_margin - d)+.

    The mean is over the terms above 0, of positive and of negative pairs apart.

    Args:
        pos_margin: distance up to which a positive pair is free (m⁺).
        neg_margin: distance from which a negative pair is free (m⁻).

    Source: Lemma 4.1 of the paper; Hadsell, Chopra and LeCun (2006) for one margin.
    """

    @checked
    def __init__(self, pos_margin: NonNegative = 0.0, neg_margin: NonNegative = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        pull = positive * tf.nn.relu(distances - self.pos_margin)
        push = negative * tf.nn.relu(self.neg_margin - distances)
        return reduction.mean_of_nonzero(pull) + reduction.mean_of_nonzero(push)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pos_margin": self.pos_margin, "neg_margin": self.neg_margin}


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class CosineContrastiveLoss(PairLoss):
    """C1: sum of 1 - s over positive pairs and (s - margin)+ over negative ones; s the cosine.

    The sum over an anchor's pairs is averaged over the anchors. A positive pair with s above
    1 - 1e-5 is met, as in the original program.

    Args:
        margin: similarity up to which a negative pair is free.

    Source: supplement, 2.1 (C1); Wang et al., "Cross-Batch Memory" (2020), section 4.
    """

    measure = staticmethod(distances.negative_cosine)

    @checked
    def __init__(self, margin: Cosine = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        pull = positive * tf.nn.relu(1.0 + distances - 1e-5)
        push = negative * tf.nn.relu(-distances - self.margin)
        return tf.reduce_mean(tf.reduce_sum(pull + push, axis=-1))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"margin": self.margin}
