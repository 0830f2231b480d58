"""Triplet loss over all triplets."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import NonNegative, checked
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.ops import reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class TripletLoss(PairLoss):
    """Mean of (d(a, p) - d(a, n) + margin)+ over the triplets where it is above 0.

    An anchor's positives are packed to the largest number that any anchor has, so memory grows
    with anchors x positives per anchor x references, not with references squared.

    Args:
        margin: by how much a negative must be farther than a positive.

    Source: Schroff et al., "FaceNet" (2015); every triplet of the batch, none mined.
    """

    @checked
    def __init__(self, margin: NonNegative = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        counts = tf.reduce_sum(tf.cast(positive > 0.0, tf.int32), axis=-1)
        most = tf.reduce_max(counts)
        columns = tf.math.top_k(positive, k=most, sorted=True).indices
        to_positive = tf.gather(distances, columns, batch_dims=1)
        is_positive = tf.sequence_mask(counts, most, dtype=distances.dtype)
        violation = tf.nn.relu(to_positive[:, :, None] - distances[:, None] + self.margin)
        return reduction.mean_of_nonzero(violation * is_positive[:, :, None] * negative[:, None])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"margin": self.margin}
