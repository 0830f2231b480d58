"""Normalization of embeddings, as layers."""

import gin
import tensorflow as tf

from ccpdml import compat
from ccpdml.ops import normalization, precision


class _Geometry(tf.keras.layers.Layer):
    """A layer that computes in float32 or better whatever the dtype policy."""

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class LipschitzNormalization(_Geometry):
    """`x / max(1, |x|)` over the last axis; see `ops.normalization.lipschitz_normalize`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return normalization.lipschitz_normalize(inputs)

    def built_in(self, embeddings: tf.Tensor) -> tf.Tensor:
        """The same of symbolic float32 `embeddings`, in operations that Keras itself brings."""
        return embeddings / compat.symbolic_maximum(compat.symbolic_length(embeddings), 1.0)


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class NoNormalization(_Geometry):
    """`x` as it is, in float32 or better: for a loss on embeddings of any length."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return precision.at_least_float32(inputs)

    def built_in(self, embeddings: tf.Tensor) -> tf.Tensor:
        """The same symbolic `embeddings`."""
        return embeddings


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class UnitNormalization(_Geometry):
    """`x / |x|` over the last axis, a zero vector staying zero."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return normalization.unit_normalize(inputs)

    def built_in(self, embeddings: tf.Tensor) -> tf.Tensor:
        """The same of symbolic float32 `embeddings`, in operations that Keras itself brings."""
        return embeddings / compat.symbolic_maximum(compat.symbolic_length(embeddings), 1e-37)
