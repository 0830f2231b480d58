"""The loss of one problem instance of CCP."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Count, NonNegative, checked
from ccpdml.losses.compare import compare
from ccpdml.losses.criterion import Criterion
from ccpdml.losses.extra_classes import ExtraClasses
from ccpdml.losses.pair_loss import PairLoss


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
        extra_classes: `VirtualClasses` or `SyntheticClasses`, which join the pairs of samples and
            proxies; None leaves them alone.

    Attributes:
        head: the `MultiProxyHead` that owns the proxies.

    Raises:
        ValueError: if `extra_classes` come with a loss that is no `PairLoss`.

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
        extra_classes: ExtraClasses | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if extra_classes is not None and not isinstance(loss, PairLoss):
            raise ValueError(
                "`ChanceConstrainedLoss.extra_classes` need a loss on pairs, a `PairLoss`. "
                f"Received: loss={type(loss).__name__}"
            )
        self.loss = loss
        self.num_classes = num_classes
        self.pair_weight = pair_weight
        self.proxy_weight = proxy_weight
        self.head = layers.MultiProxyHead(num_classes, proxies_per_class)
        self.extra_classes = extra_classes

    def build(
        self, embeddings_shape: tf.TensorShape, labels_shape: tf.TensorShape | None = None
    ) -> None:
        self.head.build(embeddings_shape)
        if self.extra_classes is not None:
            self.extra_classes.build(tuple(self.head.proxies.shape))
        super().build(embeddings_shape)

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        to_proxies = self._to_proxies(embeddings, labels)
        if not self.pair_weight:
            return self.proxy_weight * to_proxies
        in_batch = compare(self.loss, embeddings, labels, normalize=self.normalization)
        return self.proxy_weight * to_proxies + self.pair_weight * in_batch

    def _to_proxies(self, embeddings, labels):
        if self.extra_classes is None:
            references = self.head.references()
            return compare(self.loss, embeddings, labels, *references, normalize=self.normalization)
        anchors, references, *pairs = self.extra_classes(
            embeddings, labels, head=self.head, normalize=self.normalization
        )
        return self.loss(self.loss.measure(anchors, references), *pairs)

    def retire(self, proxies: tf.Tensor) -> None:
        if self.extra_classes is not None:
            self.extra_classes.retire(proxies)

    def get_config(self) -> dict[str, Any]:
        extra = self.extra_classes
        return super().get_config() | {
            "loss": tf.keras.layers.serialize(self.loss),
            "num_classes": self.head.num_classes,
            "proxies_per_class": self.head.proxies_per_class,
            "pair_weight": self.pair_weight,
            "proxy_weight": self.proxy_weight,
            "extra_classes": None if extra is None else tf.keras.layers.serialize(extra),
        }
