"""Synthetic classes: mixtures of two samples, and of their proxies, as classes of their own."""

from collections.abc import Callable
from typing import Any

import gin
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Count, Positive, Share, Whole, checked
from ccpdml.losses import state
from ccpdml.losses.extra_classes import ExtraClasses
from ccpdml.losses.mixing import draw_share
from ccpdml.ops import distances, masks


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class SyntheticClasses(ExtraClasses):
    """Proxy synthesis for any pair loss and any number of proxies per class.

    A sample x whose nearest own proxy is p is mixed with the one `shift` rows before it, x' with
    p': `x~ = N(mix x + (1 - mix) x')` is a sample of a new class, `p~ = N(mix p + (1 - mix) p')`
    its proxy. Mixtures of the same two classes, in this order, are of one class; two samples of the
    same class make none. Every mixture is a negative of all proxies, and every mixed proxy of all
    samples.

    Nearest proxies are mixed because then the mixed ones cover the mixtures as well as the proxies
    cover their classes: `|x~ - p~| <= mix |x - p| + (1 - mix) |x' - p'|`. (N leaves mixtures alone
    if it maps on the unit ball, where they are already.)

    Args:
        concentration: α of the symmetric Beta distribution that `mix` is drawn from each step,
            float above 0.
        mix: fixed share of the sample itself, float in 0..1; None draws it.
        shift: rows between the two that are mixed, int; None is half of the batch, which is another
            class wherever a batch is laid out class after class.
        seed: of the draws, int.

    Source: Gu, Ko and Kim, "Proxy Synthesis: Learning with Synthetic Classes for Deep Metric
        Learning" (2021), for a softmax and one proxy per class; a mixture for every sample.
    """

    @checked
    def __init__(
        self,
        concentration: Positive = 0.4,
        mix: Share | None = None,
        shift: Count | None = None,
        seed: Whole = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.concentration = concentration
        self.mix = mix
        self.shift = shift
        self.seed = seed
        self.num_draws = state.add(self, "num_draws", dtype="int32")

    def call(
        self,
        embeddings: tf.Tensor,
        labels: tf.Tensor,
        head: layers.MultiProxyHead,
        normalize: Callable[[tf.Tensor], tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        points, classes = head.references()
        samples, proxies = normalize(embeddings), normalize(points)
        shift = self.shift or tf.shape(labels)[0] // 2
        partners = tf.roll(labels, shift, axis=0)
        is_new = labels != partners
        mix = self._draw_mix()

        def mixed(rows):
            mixtures = mix * rows + (1.0 - mix) * tf.roll(rows, shift, axis=0)
            return normalize(tf.boolean_mask(mixtures, is_new))

        new_classes = tf.boolean_mask(head.num_classes * (1 + labels) + partners, is_new)
        own = tf.reshape(proxies, [head.num_classes, head.proxies_per_class, proxies.shape[-1]])
        nearest = _nearest(samples, tf.gather(own, labels))
        classes = tf.cast(classes, labels.dtype)
        return (
            tf.concat([samples, mixed(samples)], axis=0),
            tf.concat([proxies, mixed(nearest)], axis=0),
            *masks.pairs(
                tf.concat([labels, new_classes], axis=0), tf.concat([classes, new_classes], axis=0)
            ),
        )

    def _draw_mix(self):
        if self.mix is not None:
            return self.mix
        return draw_share(self.num_draws, self.seed, self.concentration)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "concentration": self.concentration,
            "mix": self.mix,
            "shift": self.shift,
            "seed": self.seed,
        }


def _nearest(points, candidates):
    """The nearest of each point's candidates [n, num_candidates, dim], float [n, dim]."""
    measured = distances.euclidean(tf.stop_gradient(points)[:, None], tf.stop_gradient(candidates))
    return tf.gather(candidates, tf.argmin(measured[:, 0], axis=-1), batch_dims=1)
