"""Pooling of a feature map to a feature vector."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="ccpdml")
class GlobalPooling(tf.keras.layers.Layer):
    """Pools a feature map over its places: [batch, height, width, channels] -> [batch, channels].

    Args:
        kind: "avg", "max", or "both" (their sum, as the conventional ResNet50 setting has it).
    """

    KINDS = ("avg", "max", "both")

    def __init__(self, kind: str = "avg", **kwargs):
        super().__init__(**kwargs)
        if kind not in self.KINDS:
            raise ValueError(f"`kind` must be one of {self.KINDS}. Received: {kind=}")
        self.kind = kind

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        average = tf.reduce_mean(inputs, axis=[1, 2]) if self.kind != "max" else 0.0
        highest = tf.reduce_max(inputs, axis=[1, 2]) if self.kind != "avg" else 0.0
        return average + highest

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return (input_shape[0], input_shape[-1])

    def built_in(self, features: tf.Tensor) -> tf.Tensor:
        """The same pooling of the symbolic `features` in layers that Keras itself brings."""
        average = tf.keras.layers.GlobalAveragePooling2D
        highest = tf.keras.layers.GlobalMaxPooling2D
        if self.kind == "both":
            return tf.keras.layers.Add()([average()(features), highest()(features)])
        return {"avg": average, "max": highest}[self.kind]()(features)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"kind": self.kind}
