"""Distances between every anchor and every reference: [..., anchors, references].

`references=None` compares the anchors with themselves. What a loss calls `distance` is the name
of one of these functions.
"""

import tensorflow as tf

from ccpdml.ops import precision


def squared_euclidean(anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
    """Squared Euclidean distances.

    Args:
        anchors: float [..., num_anchors, dim].
        references: float [..., num_references, dim]; None takes the anchors.

    Returns:
        float [..., num_anchors, num_references], never negative; of a set with itself, the
        diagonal is exactly 0.
    """
    anchors = precision.at_least_float32(anchors)
    others = anchors if references is None else precision.at_least_float32(references)
    squares = (  # Outside a graph, `** 2` would take longer than all the rest.
        tf.reduce_sum(tf.square(anchors), -1)[..., :, None]
        + tf.reduce_sum(tf.square(others), -1)[..., None, :]
    )
    squared = tf.nn.relu(squares - 2.0 * tf.matmul(anchors, others, transpose_b=True))
    if references is None:
        squared = tf.linalg.set_diag(squared, tf.zeros_like(squared[..., 0]))
    return squared


def euclidean(anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
    """Euclidean distances; the gradient of a distance of 0 is 0.

    Args:
        anchors: float [..., num_anchors, dim].
        references: float [..., num_references, dim]; None takes the anchors.

    Returns:
        float [..., num_anchors, num_references]; of a set with itself, the diagonal is exactly 0.
    """
    squared = squared_euclidean(anchors, references)
    apart = squared != 0.0  # Not `>`: what is not a number must stay visible.
    # The root is taken of 1 where the distance is 0, or its infinite slope would make 0 * inf.
    return tf.where(apart, tf.sqrt(tf.where(apart, squared, tf.ones_like(squared))), 0.0)


def negative_cosine(anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
    """Negative inner products: minus the cosine similarity where both sides have length 1.

    Args:
        anchors: float [..., num_anchors, dim], normalized by the caller.
        references: float [..., num_references, dim]; None takes the anchors.

    Returns:
        float [..., num_anchors, num_references].
    """
    anchors = precision.at_least_float32(anchors)
    others = anchors if references is None else precision.at_least_float32(references)
    return -tf.matmul(anchors, others, transpose_b=True)
