"""Proxy synthesis: classes between classes, made of a sample and a proxy each."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Count, NonNegative, Positive, Share, Whole, checked
from ccpdml.losses import state
from ccpdml.losses.mixing import draw_share
from ccpdml.losses.proxy_nca import ProxyNCALoss
from ccpdml.ops import masks


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class ProxySynthesisLoss(ProxyNCALoss):
    """ProxyNCA++ on the batch and the proxies together with mixtures of both.

    Every sample x with proxy p is mixed with the one `shift` rows before it:
    `x~ = N(mix x + (1 - mix) x')` is a sample of a new class, `p~ = N(mix p + (1 - mix) p')` its
    proxy. Mixtures of the same two classes are of one class; two of the same class make none.

    Args:
        num_classes: classes of the training split, int above 0.
        temperature: of the softmax, float above 0.
        margin: taken off the cosine to the own proxies.
        concentration: α of the symmetric Beta distribution that `mix` is drawn from each step.
        mix: fixed share of the sample itself, float in 0..1; None draws it.
        shift: rows between the two that are mixed, int; in a batch laid out class after class,
            images per class.
        seed: of the draws, int.

    Source: Gu, Ko and Kim, "Proxy Synthesis: Learning with Synthetic Classes for Deep Metric
        Learning" (2021), with a mixture for every sample (its ratio of generation being 1).
    """

    @checked
    def __init__(
        self,
        num_classes: Count,
        temperature: Positive = 0.1,
        margin: NonNegative = 0.0,
        concentration: Positive = 0.4,
        mix: Share | None = None,
        shift: Count = 1,
        seed: Whole = 0,
        **kwargs,
    ):
        super().__init__(num_classes, temperature, margin, proxies_per_class=1, **kwargs)
        self.concentration = concentration
        self.mix = mix
        self.shift = shift
        self.seed = seed
        self.num_draws = state.add(self, "num_draws", dtype="int32")

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        labels = tf.reshape(labels, [-1])
        partners = tf.roll(labels, self.shift, axis=0)
        samples, (proxies, classes) = self.normalization(embeddings), self.references()
        of_sample = masks.pairs(labels, classes)[0] @ proxies
        mix = self._draw_mix()

        def mixed(rows):
            return self.normalization(mix * rows + (1.0 - mix) * tf.roll(rows, self.shift, axis=0))

        is_new = tf.cast(labels != partners, samples.dtype)
        same_pair = (labels[:, None] == labels) & (partners[:, None] == partners)
        own = tf.cast(same_pair, samples.dtype) * is_new
        to_old, old_negative = masks.pairs(labels, classes)
        positive = _blocks(to_old, tf.zeros_like(own), tf.zeros_like(to_old), own)
        negative = _blocks(
            old_negative, is_new + tf.zeros_like(own), tf.ones_like(to_old), is_new - own
        )
        cosines = tf.matmul(
            tf.concat([samples, mixed(samples)], axis=0),
            tf.concat([proxies, mixed(of_sample)], axis=0),
            transpose_b=True,
        )
        counts = tf.concat([tf.ones_like(is_new), is_new], axis=0)
        terms = counts * self.cross_entropy(cosines, positive, negative)
        return tf.reduce_sum(terms) / tf.reduce_sum(counts)

    def _draw_mix(self):
        if self.mix is not None:
            return self.mix
        return draw_share(self.num_draws, self.seed, self.concentration)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {
            "concentration": self.concentration,
            "mix": self.mix,
            "shift": self.shift,
            "seed": self.seed,
        }
        del config["proxies_per_class"]
        return config


def _blocks(top_left, top_right, bottom_left, bottom_right):
    """Joins four matrices to one."""
    top = tf.concat([top_left, top_right], axis=1)
    return tf.concat([top, tf.concat([bottom_left, bottom_right], axis=1)], axis=0)
