"""Multi-Similarity loss."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Cosine, Positive, checked
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.ops import distances, reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class MultiSimilarityLoss(PairLoss):
    """MS: soft maxima of an anchor's positive and negative similarities s, averaged over anchors.

    `1/alpha log(1 + sum_pos exp(-alpha (s - base))) + 1/beta log(1 + sum_neg exp(beta (s - base)))`

    Args:
        alpha: sharpness on positive pairs (α).
        beta: sharpness on negative pairs (β).
        base: similarity that separates the two (λ in the loss's paper).

    Source: Wang et al., "Multi-Similarity Loss" (2019), without its pair mining.
    """

    measure = staticmethod(distances.negative_cosine)

    @checked
    def __init__(self, alpha: Positive = 2.0, beta: Positive = 40.0, base: Cosine = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        excess = -distances - self.base
        pull = reduction.log_one_plus_sum_exp(-self.alpha * excess, positive) / self.alpha
        push = reduction.log_one_plus_sum_exp(self.beta * excess, negative) / self.beta
        return tf.reduce_mean(pull + push)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"alpha": self.alpha, "beta": self.beta, "base": self.base}
