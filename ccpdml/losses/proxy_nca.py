"""ProxyNCA++: a softmax over the proxies."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Count, NonNegative, Positive, checked
from ccpdml.losses.proxy_criterion import ProxyCriterion
from ccpdml.ops import reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ProxyNCALoss(ProxyCriterion):
    """Cross entropy of the softmax of `s / temperature` over all proxies; s the cosine.

    A sample's probability is the sum over the proxies of its class. With the temperature of
    squared distances, as the loss's own paper has it, that is half of this one.

    Args:
        num_classes: classes of the training split, int above 0.
        temperature: of the softmax, float above 0 (T, 1/σ).
        margin: taken off the cosine to the own proxies (δ).
        proxies_per_class: 1 in the paper.

    Source: Teh et al., "ProxyNCA++" (2020), eq. 6; the temperature of cosines is the original
        program's.
    """

    @checked
    def __init__(
        self,
        num_classes: Count,
        temperature: Positive = 0.1,
        margin: NonNegative = 0.0,
        proxies_per_class: Count = 1,
        **kwargs,
    ):
        super().__init__(num_classes, proxies_per_class, **kwargs)
        self.temperature = temperature
        self.margin = margin

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(self.cross_entropy(*self.similarities(embeddings, labels)))

    def cross_entropy(
        self, cosines: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
        """Minus the log of the probability of `positive`: float [batch]; 0 where it is empty."""
        logits = (cosines - self.margin * positive) / self.temperature
        return reduction.softmax_cross_entropy(logits, positive, negative)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"temperature": self.temperature, "margin": self.margin}
