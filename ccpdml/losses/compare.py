"""A pair loss applied to embeddings: of a batch with itself, or with references."""

from collections.abc import Callable
from typing import Any, Self

import gin
import tensorflow as tf

from ccpdml.cluster import replicas
from ccpdml.losses.criterion import Criterion
from ccpdml.ops import masks, normalization


def compare(
    loss: tf.keras.layers.Layer,
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    references: tf.Tensor | None = None,
    reference_labels: tf.Tensor | None = None,
    normalize: Callable[[tf.Tensor], tf.Tensor] | None = normalization.lipschitz_normalize,
) -> tf.Tensor:
    """Applies a pair loss to a batch against itself or against references.

    Args:
        loss: a `PairLoss`; or a `Criterion` on the pairs of a set, such as `AddonsLoss`: the
            references then join the batch, and normalization is its own.
        embeddings: the anchors, float [batch, dim].
        labels: their classes, int [batch] or [batch, 1]; or several labels of each, bool
            [batch, num_labels]: those that share one are positives of each other, others negatives.
        references: what they are compared with, float [num_references, dim]; None is the batch
            itself, no embedding being its own positive.
        reference_labels: labels of the references, likewise.
        normalize: function that both sides pass first; None takes them as they are.

    Returns:
        The loss, float scalar.

    Raises:
        ValueError: if references come without labels, or labels without references, if there is
            not one label, or a row of several, for each point, or if a loss that needs one class
            of each gets several labels.
    """
    if (references is None) != (reference_labels is None):
        raise ValueError("`references` and `reference_labels` must be given together.")
    embeddings, labels = tf.convert_to_tensor(embeddings), tf.convert_to_tensor(labels)
    masks.check_shapes(embeddings, labels)
    if references is not None:
        references = tf.convert_to_tensor(references)
        reference_labels = tf.convert_to_tensor(reference_labels)
        masks.check_shapes(references, reference_labels)
    if isinstance(loss, Criterion):
        return _of_a_set(loss, embeddings, labels, references, reference_labels)
    normalize = normalize or tf.convert_to_tensor
    anchors = normalize(embeddings)
    others = None if references is None else normalize(references)
    return loss(loss.measure(anchors, others), *masks.pairs(labels, reference_labels))


def _of_a_set(criterion, embeddings, labels, references, reference_labels):
    if references is None:
        return criterion(embeddings, labels)
    points = tf.concat([embeddings, references], axis=0)
    return criterion(points, tf.concat(masks.of_one_type(labels, reference_labels), axis=0))


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class BatchPairs(Criterion):
    """A pair loss on the pairs of the batch, and on nothing else.

    Args:
        loss: a `PairLoss`.
    """

    needs_pairs = True
    takes_several_labels = True

    def __init__(self, loss: tf.keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.loss = loss

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return compare(self.loss, embeddings, labels, normalize=self.normalization)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"loss": tf.keras.layers.serialize(self.loss)}


@tf.keras.utils.register_keras_serializable(package="ccpdml")
class InBatch(tf.keras.losses.Loss):
    """A pair loss for stock `model.compile(loss=...)`: labels are `y_true`, embeddings `y_pred`.

    Under a `tf.distribute` strategy the pairs are those of the global batch. With several replicas
    and `steps_per_execution` above 1, let every batch be whole (`batch(n, drop_remainder=True)`):
    the replicas of one compiled call exchange batches of one size. `training.MetricLearner` takes
    others, too, and is what a loss with weights of its own needs: stock Keras does not train them.

    Args:
        loss: a `PairLoss`.

    Raises:
        ValueError: if `loss` has weights.
    """

    def __init__(self, loss: tf.keras.layers.Layer, name: str = "in_batch", **kwargs):
        super().__init__(name=name, **kwargs)
        if loss.trainable_weights:
            raise ValueError(
                "Keras trains no weights of a loss; use `training.MetricLearner` with "
                f"`losses.BatchPairs` for a loss that learns. Received: {type(loss).__name__} with "
                f"{[weight.name for weight in loss.trainable_weights]}"
            )
        self.loss = loss

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the loss, float scalar; `sample_weight` is not for a loss on pairs."""
        if sample_weight is not None:
            raise ValueError("`InBatch` weighs pairs, not samples: leave `sample_weight` out.")
        embeddings = replicas.gather(tf.convert_to_tensor(y_pred))
        value = compare(self.loss, embeddings, replicas.gather(tf.convert_to_tensor(y_true)))
        # Keras scales what is not a scalar for its replicas. The labels must not pass there: it
        # makes them float32.
        return super().__call__(value[None], value[None])

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The value that `__call__` found, for Keras to reduce."""
        return y_pred

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"loss": tf.keras.layers.serialize(self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuilds the loss with the pair loss nested in it."""
        return cls(**(config | {"loss": tf.keras.layers.deserialize(config["loss"])}))
