"""Classes beside those of the training split, which no image belongs to."""

from collections.abc import Callable

import tensorflow as tf

from ccpdml import layers


class ExtraClasses(tf.keras.layers.Layer):
    """Base of what `ChanceConstrainedLoss` adds to the pairs of samples and proxies.

    `call(embeddings, labels, head, normalize)` says what the pair loss compares in their place. It
    computes in float32 whatever the dtype policy.
    """

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))

    def build(self, proxies_shape: tf.TensorShape) -> None:
        """Makes the weights, if any, for proxies [num_classes, proxies_per_class, dim]."""
        self.built = True

    def call(
        self,
        embeddings: tf.Tensor,
        labels: tf.Tensor,
        head: layers.MultiProxyHead,
        normalize: Callable[[tf.Tensor], tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Anchors, references and their pairs.

        Args:
            embeddings: float [batch, dim], not normalized.
            labels: int [batch], each in 0..num_classes-1.
            head: owner of the proxies, which are not normalized.
            normalize: function that embeddings and proxies pass before they are compared.

        Returns:
            Tuple (anchors [num_anchors, dim], references [num_references, dim], positive,
            negative [num_anchors, num_references]); all float, points normalized.
        """
        raise NotImplementedError

    def retire(self, proxies: tf.Tensor) -> None:
        """Hears which proxies the next problem instance replaces.

        Args:
            proxies: float [num_classes, proxies_per_class, dim], not normalized.
        """
