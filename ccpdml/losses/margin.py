"""Margin loss: a distance that separates positive from negative pairs, fixed or learned."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Count, NonNegative, checked
from ccpdml.losses.criterion import Criterion
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.ops import distances, masks, reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class MarginLoss(PairLoss):
    """Mean of the terms above 0, (d - beta + margin)+ or (beta + margin - d)+, plus `nu * beta`.

    The mean is over the terms above 0, of positive and of negative pairs apart.

    Args:
        margin: how far from the boundary a pair has to be (α).
        beta: distance of the boundary (β).
        nu: weight of the boundary's own cost, which keeps it from growing (ν).
        learn_beta: whether the boundary is trained.

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning" (2017), eq. 5 and 6; the two
        means are the original program's (the paper divides by all paying pairs at once).
    """

    @checked
    def __init__(
        self,
        margin: NonNegative = 0.2,
        beta: NonNegative = 1.2,
        nu: NonNegative = 0.0,
        learn_beta: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.margin = margin
        self.nu = nu
        self.learn_beta = learn_beta
        self.initial_beta = beta
        start = tf.keras.initializers.Constant(beta)
        self.beta = self.add_weight(name="beta", initializer=start) if learn_beta else beta

    def call(self, distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        beta = tf.cast(tf.convert_to_tensor(self.beta), distances.dtype)
        return around_boundary(distances, positive, negative, beta, self.margin) + self.nu * beta

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "margin": self.margin,
            "beta": self.initial_beta,
            "nu": self.nu,
            "learn_beta": self.learn_beta,
        }


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ClassMarginLoss(Criterion):
    """`MarginLoss` on the pairs of the batch with a trained boundary for the class of the anchor.

    Args:
        num_classes: classes of the training split, int above 0.
        margin: how far from the boundary a pair has to be (α).
        beta: distance of every boundary before training (β).
        nu: weight of the boundaries' own cost, their mean over the anchors (ν).
        miner: a `Miner` that chooses pairs, such as `DistanceWeightedMiner`; None takes all.

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning" (2017), section 4.2, where
        embeddings have length 1, as here.
    """

    default_normalization = layers.UnitNormalization

    @checked
    def __init__(
        self,
        num_classes: Count,
        margin: NonNegative = 0.2,
        beta: NonNegative = 1.2,
        nu: NonNegative = 0.0,
        miner: tf.keras.layers.Layer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.margin = margin
        self.nu = nu
        self.miner = miner
        self.initial_beta = beta
        self.beta = self.add_weight(
            name="beta", shape=(num_classes,), initializer=tf.keras.initializers.Constant(beta)
        )

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        embeddings = self.normalization(embeddings)
        measured = distances.euclidean(embeddings)
        positive, negative = masks.pairs(labels)
        if self.miner is not None:
            self.miner.learn_size(embeddings.shape[-1])
            positive, negative = self.miner(measured, positive, negative)
        of_anchor = tf.one_hot(tf.reshape(labels, [-1]), self.num_classes, dtype=measured.dtype)
        beta = tf.linalg.matvec(of_anchor, tf.convert_to_tensor(self.beta))
        hinges = around_boundary(measured, positive, negative, beta[:, None], self.margin)
        return hinges + self.nu * tf.reduce_mean(beta)

    def get_config(self) -> dict[str, Any]:
        miner = None if self.miner is None else tf.keras.layers.serialize(self.miner)
        return super().get_config() | {
            "num_classes": self.num_classes,
            "margin": self.margin,
            "beta": self.initial_beta,
            "nu": self.nu,
            "miner": miner,
        }


def around_boundary(distances, positive, negative, beta, margin):
    """Mean hinge of positive pairs beyond `beta - margin` and negative ones below `beta + margin`.

    Args:
        distances: float [anchors, references].
        positive: 1 where a pair counts, float of the same shape.
        negative: likewise.
        beta: boundary, float scalar or [anchors, 1].
        margin: float.

    Returns:
        float scalar.
    """
    pull = positive * tf.nn.relu(distances - beta + margin)
    push = negative * tf.nn.relu(beta + margin - distances)
    return reduction.mean_of_nonzero(pull) + reduction.mean_of_nonzero(push)
