"""Heads: from features to the embedding, and from the embedding to distances to proxies."""

from typing import Annotated, Any

import tensorflow as tf

from ccpdml.bounds import Count, Range, checked
from ccpdml.ops import distances


@tf.keras.utils.register_keras_serializable(package="ccpdml")
class EmbeddingHead(tf.keras.layers.Dense):
    """Linear map to the embedding: [batch, features] -> [batch, embedding_size].

    Args:
        embedding_size: entries of the embedding; 128 in the paper (supplement, 2.1).
        use_bias: whether to add a bias; the paper's head has none.
    """

    @checked
    def __init__(
        self, embedding_size: Annotated[int, Range(2)] = 128, use_bias: bool = False, **kwargs
    ):
        super().__init__(embedding_size, use_bias=use_bias, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {"embedding_size": config.pop("units")} | config


@tf.keras.utils.register_keras_serializable(package="ccpdml")
class MultiProxyHead(tf.keras.layers.Layer):
    """Trainable proxies: [batch, dim] -> distances [batch, num_classes, proxies_per_class].

    Args:
        num_classes: classes of the training split, int.
        proxies_per_class: points that stand for each class, int.

    Attributes:
        proxies: float32 [num_classes, proxies_per_class, dim], whatever the dtype policy.

    Raises:
        ValueError: if an argument is not a whole number above 0.
    """

    @checked
    def __init__(self, num_classes: Count, proxies_per_class: Count = 8, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))
        self.num_classes = num_classes
        self.proxies_per_class = proxies_per_class

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.num_classes, self.proxies_per_class, input_shape[-1])
        self.proxies = self.add_weight(name="proxies", shape=shape, initializer="he_normal")
        super().build(input_shape)

    def references(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The proxies as a reference set: (points [num_classes * per_class, dim], labels)."""
        proxies = tf.convert_to_tensor(self.proxies)
        points = tf.reshape(proxies, [-1, proxies.shape[-1]])
        return points, tf.range(points.shape[0]) // self.proxies_per_class

    def call(self, embeddings: tf.Tensor) -> tf.Tensor:
        measured = distances.euclidean(embeddings, self.references()[0])
        return tf.reshape(measured, [-1, self.num_classes, self.proxies_per_class])

    def get_config(self) -> dict[str, Any]:
        config = {"num_classes": self.num_classes, "proxies_per_class": self.proxies_per_class}
        return super().get_config() | config
