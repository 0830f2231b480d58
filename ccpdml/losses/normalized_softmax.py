"""Cross entropy over similarities."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Positive, checked
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.ops import distances, reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class NormalizedSoftmaxLoss(PairLoss):
    """Cross entropy of the softmax of an anchor's similarities, all its positives being right.

    `log(1 + sum_neg exp(s / temperature) / sum_pos exp(s / temperature))`, averaged over the
    anchors that have a positive; s the cosine. Against one proxy per class it is the softmax
    classifier without bias on normalized vectors.

    Args:
        temperature: of the softmax, float above 0 (T).

    Source: Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning" (2019),
        for proxies; Goldberger et al., "Neighbourhood Components Analysis" (2004), for pairs.
    """

    measure = staticmethod(distances.negative_cosine)

    @checked
    def __init__(self, temperature: Positive = 0.11, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        terms = reduction.softmax_cross_entropy(-distances / self.temperature, positive, negative)
        num_anchors = tf.math.count_nonzero(tf.reduce_max(positive, -1), dtype=terms.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(terms), num_anchors)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"temperature": self.temperature}
