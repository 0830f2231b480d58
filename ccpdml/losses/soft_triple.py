"""SoftTriple loss."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Count, NonNegative, Positive, checked
from ccpdml.losses.proxy_criterion import ProxyCriterion
from ccpdml.ops import masks, reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class SoftTripleLoss(ProxyCriterion):
    """Cross entropy over classes that each take a soft maximum over several centers.

    The similarity to a class is `S = sum_k w_k s_k` with `w = softmax(s / gamma)` over its centers,
    s being the cosines; the logits are `la (S - margin [own class])`. Added is `tau` times the mean
    distance between the centers of a class, which lets superfluous ones merge.

    Args:
        num_classes: classes of the training split, int above 0.
        proxies_per_class: centers of a class (K).
        la: scale of the logits (λ).
        gamma: temperature of the weights (γ).
        tau: weight of the distances between centers (τ).
        margin: taken off the similarity to the own class (δ).

    Source: Qian et al., "SoftTriple Loss" (2019), eq. 7 to 9. `sqrt(2 - 2 c·c')` is the distance of
        centers of length 1, as they are in the paper and here. With `LipschitzNormalization`, as in
        the original program of CCP, centers inside the ball pay for being short, even equal ones.
    """

    @checked
    def __init__(
        self,
        num_classes: Count,
        proxies_per_class: Count = 10,
        la: Positive = 20.0,
        gamma: Positive = 0.1,
        tau: NonNegative = 0.2,
        margin: NonNegative = 0.01,
        **kwargs,
    ):
        super().__init__(num_classes, proxies_per_class, **kwargs)
        self.la = la
        self.gamma = gamma
        self.tau = tau
        self.margin = margin

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        centers, _ = self.references()
        num_classes, per_class = self.head.num_classes, self.head.proxies_per_class
        cosines = tf.matmul(self.normalization(embeddings), centers, transpose_b=True)
        cosines = tf.reshape(cosines, [-1, num_classes, per_class])
        similarities = tf.reduce_sum(tf.nn.softmax(cosines / self.gamma) * cosines, axis=-1)
        positive, negative = masks.pairs(labels, tf.range(num_classes))
        logits = self.la * (similarities - self.margin * positive)
        loss = tf.reduce_mean(reduction.softmax_cross_entropy(logits, positive, negative))
        if per_class == 1 or not self.tau:
            return loss
        return loss + self.tau * _mean_spread(tf.reshape(centers, [num_classes, per_class, -1]))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "la": self.la,
            "gamma": self.gamma,
            "tau": self.tau,
            "margin": self.margin,
        }


def _mean_spread(centers):
    """Half the mean of `sqrt(2 - 2 c·c')` over the pairs of centers of a class [C, K, dim]."""
    num_classes, per_class = centers.shape[:2]
    squared = tf.nn.relu(2.0 - 2.0 * tf.matmul(centers, centers, transpose_b=True))
    counts = squared * tf.linalg.set_diag(
        tf.ones_like(squared[:1]), tf.zeros([1, per_class], squared.dtype)
    )
    # The root is taken of 1 where two centers coincide, or its infinite slope would make 0 * inf.
    apart = counts > 0.0
    roots = tf.where(apart, tf.sqrt(tf.where(apart, counts, 1.0)), 0.0)
    return tf.reduce_sum(roots) / (2.0 * num_classes * per_class * (per_class - 1))
