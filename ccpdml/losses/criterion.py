"""Base of all criteria."""

from typing import Any, Self

import numpy as np
import tensorflow as tf

from ccpdml import compat, layers
from ccpdml.ops import masks

# Arguments that are layers.
NESTED = ("loss", "normalization", "miner", "extra_classes")


class Criterion(tf.keras.layers.Layer):
    """Base of what a learner minimizes: `call(embeddings, labels)` -> float scalar.

    Embeddings are float [batch, dim] as the encoder gives them, labels int [batch] or [batch, 1],
    or several of each image, bool [batch, num_labels], where it takes them.
    It computes in float32 whatever the dtype policy.

    Args:
        normalization: layer that embeddings and proxies pass before they are compared, in
            training and in evaluation; None is a new `default_normalization`.

    Attributes:
        default_normalization: class of the normalization in the loss's own paper; the map on the
            unit ball of the paper on CCP unless a loss says otherwise.
        needs_pairs: whether it learns from pairs of the batch and nothing else, so that a batch
            must hold two classes and two images of each.
        num_classes: classes that labels must be of, 0..num_classes-1; None lets them be any.
        takes_several_labels: whether labels may be several of each image, bool [batch, num_labels],
            images that share one being positives of each other.

    Raises:
        ValueError: when called with embeddings and labels of other shapes, with several labels of
            each image where one class is needed, or with a label that is no class. In a graph the
            last is an `InvalidArgumentError` when it runs; XLA knows no errors, there the loss is
            not a number.
    """

    default_normalization = layers.LipschitzNormalization
    needs_pairs = False
    num_classes: int | None = None
    takes_several_labels = False

    def __init__(self, normalization: tf.keras.layers.Layer | None = None, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))
        self.normalization = normalization or self.default_normalization()

    def __call__(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns the loss, float scalar; labels are looked at before `call` sees them."""
        embeddings, labels = tf.convert_to_tensor(embeddings), tf.convert_to_tensor(labels)
        masks.check_shapes(embeddings, labels)
        if masks.are_several(labels):
            self.check_several_labels()
        if self.num_classes is None:
            return super().__call__(embeddings, labels)
        numbers, are_classes = masks.as_classes(labels, self.num_classes)
        if compat.is_compiled_by_xla():
            return tf.where(are_classes, super().__call__(embeddings, numbers), np.nan)
        with tf.control_dependencies(_assert_classes(are_classes, labels, self.num_classes)):
            return super().__call__(embeddings, tf.identity(numbers))

    def check_several_labels(self) -> None:
        """Refuses several labels of each image, unless it takes them.

        Raises:
            ValueError: if `takes_several_labels` is False.
        """
        if not self.takes_several_labels:
            raise ValueError(
                f"`{type(self).__name__}` needs one class of each image, int [batch]; a criterion "
                "on pairs alone takes several labels of each: bind `train.criterion = "
                "@BatchPairs`, with any pair loss as `BatchPairs.loss`. Received: labels of bool, "
                "several of each image"
            )

    def build(
        self, embeddings_shape: tf.TensorShape, labels_shape: tf.TensorShape | None = None
    ) -> None:
        """Makes the weights, if there are any, for embeddings of this shape."""
        self.built = True

    def retire(self, proxies: tf.Tensor) -> None:
        """Told which proxies the next problem instance replaces; nothing here needs them.

        Args:
            proxies: float [num_classes, proxies_per_class, dim], not normalized.
        """

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "normalization": tf.keras.layers.serialize(self.normalization)
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the criterion with the layers nested in it."""
        nested = {
            name: tf.keras.layers.deserialize(value)
            for name, value in config.items()
            if name in NESTED and value is not None
        }
        return cls(**(config | nested))


def _assert_classes(are_classes, labels, num_classes):
    """Raises unless `are_classes`; in a graph, returns what must run first."""
    expected = (
        f"`labels` must be whole numbers in 0..{num_classes - 1}, one for each of `num_classes`. "
        f"Received: num_classes={num_classes}, labels from "
    )
    lowest, highest = tf.reduce_min(labels), tf.reduce_max(labels)
    if tf.executing_eagerly():
        if not are_classes:
            raise ValueError(f"{expected}{lowest.numpy()} to {highest.numpy()}")
        return []
    return [tf.debugging.Assert(are_classes, [expected, lowest, "to", highest])]
