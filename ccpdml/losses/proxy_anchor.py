"""Proxy-Anchor loss."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Cosine, Count, Positive, checked
from ccpdml.losses.proxy_criterion import ProxyCriterion
from ccpdml.ops import reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ProxyAnchorLoss(ProxyCriterion):
    """Soft maxima over the batch, for each proxy: its own samples too far, the others too near.

    `log(1 + sum_pos exp(-alpha (s - margin)))`, averaged over the proxies with a sample of their
    class in the batch, plus `log(1 + sum_neg exp(alpha (s + margin)))`, averaged over those with a
    sample of another class; s the cosine.

    Args:
        num_classes: classes of the training split, int above 0.
        margin: slack on the cosine (δ).
        alpha: sharpness (α).
        proxies_per_class: 1 in the paper; with more, each is an anchor of its own.

    Source: Kim et al., "Proxy Anchor Loss for Deep Metric Learning" (2020), eq. 4.
    """

    @checked
    def __init__(
        self,
        num_classes: Count,
        margin: Cosine = 0.1,
        alpha: Positive = 32.0,
        proxies_per_class: Count = 1,
        **kwargs,
    ):
        super().__init__(num_classes, proxies_per_class, **kwargs)
        self.margin = margin
        self.alpha = alpha

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        cosines, positive, negative = self.similarities(embeddings, labels)
        return anchored_on_proxies(cosines, positive, negative, self.margin, self.alpha)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"margin": self.margin, "alpha": self.alpha}


def anchored_on_proxies(cosines, positive, negative, margin, alpha):
    """The Proxy-Anchor loss of similarities.

    Args:
        cosines: float [batch, proxies].
        positive: 1 where sample and proxy are of one class, float [batch, proxies].
        negative: 1 where they are of two.
        margin: slack on the cosine.
        alpha: sharpness.

    Returns:
        float scalar.
    """
    pull = reduction.log_one_plus_sum_exp(-alpha * (cosines - margin), positive, axis=0)
    push = reduction.log_one_plus_sum_exp(alpha * (cosines + margin), negative, axis=0)
    return _mean_of(pull, positive) + _mean_of(push, negative)


def _mean_of(terms, mask):
    """Mean over the proxies that have any pair in `mask`; the terms of the others are 0."""
    num_anchors = tf.math.count_nonzero(tf.reduce_max(mask, axis=0), dtype=terms.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(terms), num_anchors)
