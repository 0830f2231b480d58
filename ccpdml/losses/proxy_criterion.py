"""Base of all losses on proxies."""

from typing import Any

import tensorflow as tf

from ccpdml import layers
from ccpdml.losses.criterion import Criterion
from ccpdml.ops import masks


class ProxyCriterion(Criterion):
    """Base of the losses on trained proxies: `call(embeddings, labels)` -> float scalar.

    Embeddings and proxies are brought to length 1, as in the papers of these losses; their inner
    products are cosines. The original program of CCP has all losses leave short vectors short:
    `normalization=LipschitzNormalization()`.

    Args:
        num_classes: classes of the training split, int above 0.
        proxies_per_class: points that stand for each class, int above 0.

    Attributes:
        head: the `MultiProxyHead` that owns the proxies.
    """

    default_normalization = layers.UnitNormalization

    def __init__(self, num_classes: int, proxies_per_class: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.head = layers.MultiProxyHead(num_classes, proxies_per_class)

    def build(
        self, embeddings_shape: tf.TensorShape, labels_shape: tf.TensorShape | None = None
    ) -> None:
        self.head.build(embeddings_shape)
        super().build(embeddings_shape)

    def references(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The normalized proxies: (points [num_classes * per_class, dim], their labels)."""
        proxies, labels = self.head.references()
        return self.normalization(proxies), labels

    def similarities(
        self, embeddings: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Compares embeddings with all proxies.

        Args:
            embeddings: float [batch, dim].
            labels: int [batch] or [batch, 1].

        Returns:
            Tuple of float [batch, num_classes * per_class]: inner products of normalized vectors,
            mask of the proxies of the own class, mask of the others.
        """
        proxies, proxy_labels = self.references()
        cosines = tf.matmul(self.normalization(embeddings), proxies, transpose_b=True)
        return cosines, *masks.pairs(labels, proxy_labels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_classes": self.head.num_classes,
            "proxies_per_class": self.head.proxies_per_class,
        }
