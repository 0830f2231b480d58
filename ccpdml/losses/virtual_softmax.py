"""Virtual softmax: a class that no sample belongs to, made anew for every sample."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Positive, checked
from ccpdml.losses.proxy_criterion import ProxyCriterion
from ccpdml.ops import reduction


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class VirtualSoftmaxLoss(ProxyCriterion):
    """Softmax cross entropy over the proxies and one virtual negative for each sample.

    The virtual proxy points where the sample does, so its logit is `|x|² / temperature`: that of
    the cosine 1, x having length 1.

    Args:
        num_classes: classes of the training split, int above 0.
        temperature: of the softmax, float above 0.
        proxies_per_class: 1 in the paper.

    Source: Chen et al., "Virtual Class Enhanced Discriminative Embedding Learning" (2018), where
        samples and weights keep their lengths and the virtual one takes that of the own class;
        the temperature is the original program's of CCP.
    """

    @checked
    def __init__(
        self,
        num_classes: Count,
        temperature: Positive = 0.1,
        proxies_per_class: Count = 1,
        **kwargs,
    ):
        super().__init__(num_classes, proxies_per_class, **kwargs)
        self.temperature = temperature

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        cosines, positive, negative = self.similarities(embeddings, labels)
        squares = tf.square(self.normalization(embeddings))
        virtual = tf.reduce_sum(squares, axis=-1, keepdims=True)
        logits = tf.concat([cosines, virtual], axis=-1) / self.temperature
        positive = tf.concat([positive, tf.zeros_like(virtual)], axis=-1)
        negative = tf.concat([negative, tf.ones_like(virtual)], axis=-1)
        return tf.reduce_mean(reduction.softmax_cross_entropy(logits, positive, negative))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"temperature": self.temperature}
