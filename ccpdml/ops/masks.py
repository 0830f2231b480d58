"""Labels: whether they are classes, and which pairs are positive (same class) or negative.

Labels are the class of each row, numbers [n] or [n, 1]; or several labels of each, bool
[n, num_labels], True for those that it has. Rows that share a label are of one class then.
"""

import tensorflow as tf


def pairs(
    labels: tf.Tensor, reference_labels: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Masks of the positive and the negative pairs of anchors and references.

    Args:
        labels: classes of the anchors, int [num_anchors] or [num_anchors, 1]; or several labels of
            each, bool [num_anchors, num_labels].
        reference_labels: labels of the references, likewise, classes of whatever type of number;
            None compares the anchors with themselves, where no anchor is its own positive or
            negative.

    Returns:
        Tuple (positive, negative) of float32 [num_anchors, num_references], 1 where the pair
        counts.

    Raises:
        ValueError: if only one side has several labels of each.
    """
    labels, others = of_one_type(labels, labels if reference_labels is None else reference_labels)
    same = tf.cast(_share(labels, others), tf.float32)
    different = 1.0 - same
    if reference_labels is None:
        nothing = tf.zeros_like(same[:, 0])
        # Who has no label at all shares none with itself.
        return tf.linalg.set_diag(same, nothing), tf.linalg.set_diag(different, nothing)
    return same, different


def _share(labels, others):
    """Tells which rows of the two have a label in common, bool [num_anchors, num_references]."""
    if not are_several(labels):
        return labels[:, None] == others[None, :]
    in_common = tf.matmul(
        tf.cast(labels, tf.float32), tf.cast(others, tf.float32), transpose_b=True
    )
    return in_common > 0.5


def are_several(labels: tf.Tensor) -> bool:
    """Tells whether labels are several of each row, bool [n, num_labels], not one class."""
    return labels.dtype == tf.bool


def of_one_type(labels: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Two sets of labels of one type, which holds the values of both: classes as vectors.

    Raises:
        ValueError: if only one of them has several labels of each row.
    """
    labels, others = tf.convert_to_tensor(labels), tf.convert_to_tensor(others)
    if are_several(labels) and are_several(others):
        return labels, others
    if are_several(labels) or are_several(others):
        raise ValueError(
            "Both sides of a comparison must have one class of each row (int [n]), or both several "
            "labels of each (bool [n, num_labels]). "
            f"Received: labels of {labels.dtype.name} and of {others.dtype.name}"
        )
    labels, others = tf.reshape(labels, [-1]), tf.reshape(others, [-1])
    if labels.dtype == others.dtype:
        return labels, others
    wide = tf.float64 if labels.dtype.is_floating or others.dtype.is_floating else tf.int64
    return tf.cast(labels, wide), tf.cast(others, wide)


def check_shapes(embeddings: tf.Tensor, labels: tf.Tensor) -> None:
    """Refuses labels that are not one for each embedding, or a row of several, by their shapes.

    Args:
        embeddings: float [batch, dim].
        labels: int [batch] or [batch, 1], or bool [batch, num_labels] of at least two labels.

    Raises:
        ValueError: if the shapes are others.
    """
    points, classes = embeddings.shape, labels.shape
    batch = points[:1]
    if are_several(labels):
        # One column is a vector of yes and no, two classes, which Keras 2 has made a matrix.
        is_vector = classes.rank == 2 and classes[1] == 1
        is_one_each = classes.is_compatible_with([*batch, None]) and not is_vector
    else:
        is_one_each = classes.is_compatible_with(batch) or classes.is_compatible_with([*batch, 1])
    if not (points.is_compatible_with([None, None]) and is_one_each):
        raise ValueError(
            "A loss takes embeddings [batch, dim] and labels [batch] or [batch, 1], in this order; "
            "several labels of each are bool [batch, num_labels], two at least "
            "(`multi_hot.astype(bool)`), and classes that are bool become int. "
            "For stock `model.compile(loss=...)`, which turns it round, there is `losses.InBatch`; "
            "`training.MetricLearner` takes any loss. "
            f"Received: embeddings of {points}, labels of {classes}, {labels.dtype.name}"
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
