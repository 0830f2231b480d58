"""What every criterion has in common."""

from typing import Self

import tensorflow as tf

from ccpdml import layers


class Criterion(tf.keras.layers.Layer):
    """Base of what a learner minimizes: `call(embeddings, labels)` -> float scalar.

    Embeddings are float [batch, dim] as the encoder gives them, labels int [batch] or [batch, 1].
    It computes in float32 whatever the dtype policy.

    Args:
        normalization: layer that embeddings and proxies pass before they are compared, in
            training and in evaluation; None is `LipschitzNormalization()`, the paper's.

    Attributes:
        needs_pairs: whether it learns from pairs of the batch and nothing else, so that a batch
            must hold two classes and two images of each.
    """

    needs_pairs = False

    def __init__(self, normalization: tf.keras.layers.Layer | None = None, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))
        self.normalization = normalization or layers.LipschitzNormalization()

    def build(
        self, embeddings_shape: tf.TensorShape, labels_shape: tf.TensorShape | None = None
    ) -> None:
        """Makes the weights, if there are any, for embeddings of this shape."""
        self.built = True

    def get_config(self) -> dict:
        return super().get_config() | {
            "normalization": tf.keras.layers.serialize(self.normalization)
        }

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Rebuilds the criterion with the layers nested in it."""
        nested = {
            name: tf.keras.layers.deserialize(value)
            for name, value in config.items()
            if name in ("loss", "normalization", "miner") and value is not None
        }
        return cls(**(config | nested))
