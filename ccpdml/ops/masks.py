"""Which pairs are positive (same class) and which negative (another class)."""

import tensorflow as tf


def pairs(
    labels: tf.Tensor, reference_labels: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Masks of the positive and the negative pairs of anchors and references.

    Args:
        labels: classes of the anchors, int [num_anchors] or [num_anchors, 1].
        reference_labels: classes of the references, likewise; None compares the anchors with
            themselves, where no anchor is its own positive.

    Returns:
        Tuple (positive, negative) of float32 [num_anchors, num_references], 1 where the pair
        counts.
    """
    labels = tf.reshape(labels, [-1])
    others = labels if reference_labels is None else tf.reshape(reference_labels, [-1])
    same = tf.cast(labels[:, None] == tf.cast(others, labels.dtype)[None, :], tf.float32)
    if reference_labels is None:
        return tf.linalg.set_diag(same, tf.zeros_like(same[:, 0])), 1.0 - same
    return same, 1.0 - same
