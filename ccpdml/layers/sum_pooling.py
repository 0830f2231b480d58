"""Generalized sum pooling: a weighted sum over places, with weights that are learned."""

import math
from typing import Annotated, Any

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Positive, Range, checked
from ccpdml.layers.pooling import check_rank
from ccpdml.ops import normalization, precision

_HALVINGS = 40
"""Of the interval that the multiplier lies in: to 1e-12 of its length."""


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class GeneralizedSumPooling(tf.keras.layers.Layer):
    """GSP: a sum over the places of a feature map, or over tokens, which leaves out what is no use.

    Of the mass of all places, 1, a share μ is moved to trainable prototypes, as cheaply as it can
    be, with an entropy that smooths; the cost is the squared distance of features of length 1.
    Places near a prototype give up their mass, the others keep it. The weight of a place is what
    it gave up: features that resemble no prototype have no part in the sum.

        min Σ c_ij π_ij + (1/ε)·(Σ π_ij log π_ij + Σ ρ_j log ρ_j)
        so that ρ_j + Σ_i π_ij = 1/n and Σ_ij π_ij = μ
        pooled = Σ_j (1/n - ρ_j)/μ · x_j

    Written out, `1 - n·ρ_j = sigmoid(τ + log Σ_i exp(-ε c_ij))`, with the one number τ by which
    their mean is μ. It is found by halving; its gradient is that of the equation it solves.

    Args:
        num_prototypes: m, int.
        share: μ, the mass that is moved, float in (0, 1); near 1 is average pooling.
        sharpness: ε, float above 0; the smaller, the more alike the weights.

    Source: Gürbüz, Şener, Alatan, "Generalized Sum Pooling for Metric Learning" (ICCV 2023).
        Different here: costs are measured on the features that are pooled, not after a linear
        map; prototypes start at random, not with features; the zero-shot loss of the paper, which
        uses the mass that each prototype gets, is not there.
    """

    @checked
    def __init__(
        self,
        num_prototypes: Count = 64,
        share: Annotated[float, Range(above=0, below=1)] = 0.3,
        sharpness: Positive = 5.0,
        **kwargs,
    ):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))
        self.num_prototypes, self.share, self.sharpness = num_prototypes, share, sharpness

    def build(self, input_shape: tf.TensorShape) -> None:
        check_rank(input_shape)
        self.prototypes = self.add_weight(
            name="prototypes", shape=(self.num_prototypes, input_shape[-1]), initializer="he_normal"
        )
        super().build(input_shape)

    def weights_of_places(self, features: tf.Tensor) -> tf.Tensor:
        """Shares of the places that are taken: float [batch, places] in (0, 1), of mean `share`.

        Args:
            features: float [batch, places, channels].
        """
        points = normalization.unit_normalize(features)
        prototypes = normalization.unit_normalize(tf.convert_to_tensor(self.prototypes))
        cosines = tf.einsum("bpc,mc->bpm", points, tf.cast(prototypes, points.dtype))
        closeness = tf.reduce_logsumexp(self.sharpness * (2.0 * cosines - 2.0), axis=-1)
        return tf.sigmoid(closeness + _shift(closeness, self.share))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        features = precision.at_least_float32(inputs)
        if features.shape.rank == 4:
            places = features.shape[1] * features.shape[2]
            features = tf.reshape(features, [-1, places, features.shape[3]])
        weights = self.weights_of_places(features)
        return tf.reduce_mean(weights[..., None] * features, axis=1) / self.share

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_prototypes": self.num_prototypes,
            "share": self.share,
            "sharpness": self.sharpness,
        }


def _shift(closeness, share):
    """The τ [batch, 1] by which the mean of `sigmoid(closeness + τ)` [batch, places] is `share`."""
    fixed = tf.stop_gradient(closeness)
    middle = math.log(share / (1.0 - share))
    low = middle - tf.reduce_max(fixed, axis=1, keepdims=True)
    high = middle - tf.reduce_min(fixed, axis=1, keepdims=True)
    for _ in range(_HALVINGS):
        between = (low + high) / 2.0
        is_low = tf.reduce_mean(tf.sigmoid(fixed + between), axis=1, keepdims=True) < share
        low, high = tf.where(is_low, between, low), tf.where(is_low, high, between)
    found = (low + high) / 2.0
    # A step of Newton's changes the value by next to nothing, and has the gradient of the root.
    weights = tf.sigmoid(closeness + found)
    slope = tf.stop_gradient(tf.reduce_mean(weights * (1.0 - weights), axis=1, keepdims=True))
    return found - (tf.reduce_mean(weights, axis=1, keepdims=True) - share) / slope
