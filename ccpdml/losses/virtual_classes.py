"""Virtual classes: the proxies of earlier problem instances as negatives."""

from collections.abc import Callable
from typing import Any

import gin
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Count, checked
from ccpdml.losses import state
from ccpdml.losses.extra_classes import ExtraClasses
from ccpdml.ops import masks


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class VirtualClasses(ExtraClasses):
    """The proxies of the last problem instances, each class of each instance a class of its own.

    When an instance ends, its best proxies come here before others take their place. They are not
    trained any more, and negatives of every image of another class. There are none in the first
    instance, and more in each that follows until `num_instances` are kept.

    Why not of their own class: new proxies are picked among embeddings of the same images, so they
    begin where the old ones were. An image would be drawn to the one and driven from the other at
    the same place, and by a loss with margins at full strength: both would cancel, or the class
    would have to move on by a margin in every instance, while the prox term holds the encoder to
    the weights that had put it there. In the softmax of the paper that conflict is bounded, as
    classes compete for one probability.

    Args:
        num_instances: how many past instances are kept, int.
        include_own_class: whether the old proxies of its own class are negatives of an image as
            well, as in the paper.

    Source: Ko, Gu and Kim, "Learning with Memory-based Virtual Classes for Deep Metric Learning"
        (2021), MemVir. There weights are kept every few steps, together with embeddings that
        belong to them; here once per instance, and no embeddings.
    """

    @checked
    def __init__(self, num_instances: Count = 1, include_own_class: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.num_instances = num_instances
        self.include_own_class = include_own_class

    def build(self, proxies_shape: tf.TensorShape) -> None:
        self.memory = state.add(self, "memory", (self.num_instances, *proxies_shape))
        self.num_kept = state.add(self, "num_kept", dtype="int64")
        super().build(proxies_shape)

    def call(
        self,
        embeddings: tf.Tensor,
        labels: tf.Tensor,
        head: layers.MultiProxyHead,
        normalize: Callable[[tf.Tensor], tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        proxies, classes = head.references()
        num_kept = tf.convert_to_tensor(self.num_kept)
        kept = tf.convert_to_tensor(self.memory)[:num_kept]
        references = tf.concat([proxies, tf.reshape(kept, [-1, proxies.shape[-1]])], axis=0)
        positive, negative = masks.pairs(labels, classes)
        columns = [1, num_kept]
        of_none = tf.tile(tf.zeros_like(positive), columns)
        of_old = tf.tile(tf.ones_like(negative) if self.include_own_class else negative, columns)
        return (
            normalize(embeddings),
            normalize(references),
            tf.concat([positive, of_none], axis=1),
            tf.concat([negative, of_old], axis=1),
        )

    def retire(self, proxies: tf.Tensor) -> None:
        newest_first = tf.concat([proxies[None], tf.convert_to_tensor(self.memory)[:-1]], axis=0)
        self.memory.assign(newest_first)
        num_kept = tf.convert_to_tensor(self.num_kept)
        self.num_kept.assign(tf.minimum(num_kept + 1, self.num_instances))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_instances": self.num_instances,
            "include_own_class": self.include_own_class,
        }
