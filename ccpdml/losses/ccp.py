"""The loss of one problem instance of CCP."""

import gin
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Count, NonNegative, checked
from ccpdml.losses.compare import compare
from ccpdml.losses.criterion import Criterion


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ChanceConstrainedLoss(Criterion):
    """A pair loss against the proxies of every class, plus a little of it on the batch's own pairs.

    `proxy_weight · L(batch, proxies) + pair_weight · L(batch, batch)`. The prox term that ties a
    problem instance to the one before is the learner's, as it concerns the encoder's weights.

    Args:
        loss: a `PairLoss`.
        num_classes: classes of the training split, int above 0.
        proxies_per_class: points that stand for each class (m), int above 0.
        pair_weight: weight of the batch's own pairs; 0.1 in the original program, which the text
            does not mention.
        proxy_weight: weight of the pairs of samples and proxies.

    Attributes:
        head: the `MultiProxyHead` that owns the proxies.

    Source: the paper, section 4; the weights from the original program.
    """

    @checked
    def __init__(
        self,
        loss: tf.keras.layers.Layer,
        num_classes: Count,
        proxies_per_class: Count = 8,
        pair_weight: NonNegative = 0.1,
        proxy_weight: NonNegative = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.loss = loss
        self.num_classes = num_classes
        self.pair_weight = pair_weight
        self.proxy_weight = proxy_weight
        self.head = layers.MultiProxyHead(num_classes, proxies_per_class)

    def build(
        self, embeddings_shape: tf.TensorShape, labels_shape: tf.TensorShape | None = None
    ) -> None:
        self.head.build(embeddings_shape)
        super().build(embeddings_shape)

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        proxies, proxy_labels = self.head.references()
        to_proxies = compare(
            self.loss, embeddings, labels, proxies, proxy_labels, normalize=self.normalization
        )
        if not self.pair_weight:
            return self.proxy_weight * to_proxies
        in_batch = compare(self.loss, embeddings, labels, normalize=self.normalization)
        return self.proxy_weight * to_proxies + self.pair_weight * in_batch

    def get_config(self) -> dict:
        return super().get_config() | {
            "loss": tf.keras.layers.serialize(self.loss),
            "num_classes": self.head.num_classes,
            "proxies_per_class": self.head.proxies_per_class,
            "pair_weight": self.pair_weight,
            "proxy_weight": self.proxy_weight,
        }
