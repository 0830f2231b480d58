"""Labels: whether they are classes, and which pairs are positive (same class) or negative."""

import tensorflow as tf


def pairs(
    labels: tf.Tensor, reference_labels: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Masks of the positive and the negative pairs of anchors and references.

    Args:
        labels: classes of the anchors, int [num_anchors] or [num_anchors, 1].
        reference_labels: classes of the references, likewise, of whatever type of number; None
            compares the anchors with themselves, where no anchor is its own positive.

    Returns:
        Tuple (positive, negative) of float32 [num_anchors, num_references], 1 where the pair
        counts.
    """
    labels, others = of_one_type(labels, labels if reference_labels is None else reference_labels)
    same = tf.cast(labels[:, None] == others[None, :], tf.float32)
    if reference_labels is None:
        return tf.linalg.set_diag(same, tf.zeros_like(same[:, 0])), 1.0 - same
    return same, 1.0 - same


def of_one_type(labels: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Two sets of labels as vectors of one type, which holds the values of both."""
    labels, others = tf.reshape(labels, [-1]), tf.reshape(others, [-1])
    if labels.dtype == others.dtype:
        return labels, others
    wide = tf.float64 if labels.dtype.is_floating or others.dtype.is_floating else tf.int64
    return tf.cast(labels, wide), tf.cast(others, wide)


def check_shapes(embeddings: tf.Tensor, labels: tf.Tensor) -> None:
    """Refuses labels that are not one for each embedding, as far as their shapes tell.

    Args:
        embeddings: float [batch, dim].
        labels: int [batch] or [batch, 1].

    Raises:
        ValueError: if the shapes are others.
    """
    points, classes = embeddings.shape, labels.shape
    batch = points[:1]
    is_one_each = classes.is_compatible_with(batch) or classes.is_compatible_with([*batch, 1])
    if not (points.is_compatible_with([None, None]) and is_one_each):
        raise ValueError(
            "A loss takes embeddings [batch, dim] and labels [batch] or [batch, 1], in this order. "
            "For stock `model.compile(loss=...)`, which turns it round, there is `losses.InBatch`; "
            "`training.MetricLearner` takes any loss. "
            f"Received: embeddings of {points}, labels of {classes}"
        )


def as_classes(labels: tf.Tensor, num_classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels as numbers of classes, and whether they are.

    Args:
        labels: int [n] or [n, 1]; or float without fractions.
        num_classes: how many classes there are, int.

    Returns:
        Tuple (int64 [n], whether all are in 0..num_classes-1 and none has a fraction, bool).
    """
    labels = tf.reshape(labels, [-1])
    numbers = tf.cast(labels, tf.int64)
    is_class = (numbers >= 0) & (numbers < num_classes)
    if labels.dtype.is_floating:
        is_class &= tf.cast(numbers, labels.dtype) == labels
    return numbers, tf.reduce_all(is_class)
