"""The metric losses of tensorflow-addons as criteria and base losses."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import NonNegative, checked
from ccpdml.losses.criterion import Criterion
from ccpdml.ops import distances, masks


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class AddonsLoss(Criterion):
    """A loss of tensorflow-addons on the pairs and triplets of the batch.

    As the base loss of `ChanceConstrainedLoss` the proxies join the batch, as further samples of
    their classes.

    Args:
        name: "triplet_semihard", "triplet_hard", "npairs", "lifted_struct" or "contrastive".
        margin: of the loss; None is its own default. "npairs" has none.

    Raises:
        ImportError: if tensorflow-addons is not installed; it needs TensorFlow 2.15.
        ValueError: if there is no such loss.
    """

    needs_pairs = True
    NAMES = ("triplet_semihard", "triplet_hard", "npairs", "lifted_struct", "contrastive")

    @checked
    def __init__(self, name: str = "triplet_semihard", margin: NonNegative | None = None, **kwargs):
        if name not in self.NAMES:
            raise ValueError(f"`name` must be one of {self.NAMES}. Received: {name=}")
        super().__init__(name=name, **kwargs)
        self.function = getattr(_import_addons().losses, f"{name}_loss")
        self.margin = margin

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        labels, embeddings = tf.reshape(labels, [-1]), self.normalization(embeddings)
        options = {} if self.margin is None else {"margin": self.margin}
        if self.name == "npairs":
            cosines = -distances.negative_cosine(embeddings)
            return tf.reduce_mean(self.function(labels, cosines, **options))
        if self.name == "contrastive":
            return tf.reduce_mean(self.function(*_off_diagonal(embeddings, labels), **options))
        return tf.reduce_mean(self.function(labels, embeddings, **options))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"margin": self.margin}


def _off_diagonal(embeddings, labels):
    """(1 for equal classes, distance) of every pair of two embeddings: two vectors."""
    positive, _ = masks.pairs(labels)
    is_pair = tf.logical_not(tf.eye(tf.shape(labels)[0], dtype=tf.bool))
    measured = distances.euclidean(embeddings)
    return tf.boolean_mask(positive, is_pair), tf.boolean_mask(measured, is_pair)


def _import_addons():
    try:
        import tensorflow_addons
    except ImportError as error:
        raise ImportError(
            "`AddonsLoss` needs tensorflow-addons, whose last release needs TensorFlow 2.15: "
            "install requirements-addons.txt in an environment of its own. "
            f"Received: TensorFlow {tf.__version__}"
        ) from error
    return tensorflow_addons
