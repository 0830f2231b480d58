"""Distances between every anchor and every reference: [..., anchors, references].

`references=None` compares the anchors with themselves. The `measure` of a pair loss is one of these
functions.
"""

import tensorflow as tf

from ccpdml import compat
from ccpdml.ops import precision

# Pairs this close, as a share of their squared lengths, are measured by their difference: of
# `|a|² + |b|² - 2 a·b` rounding leaves some 4e-7 of the squared lengths.
_CLOSE = 1e-4


def squared_euclidean(anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
    """Squared Euclidean distances, also of points that are close to each other.

    Args:
        anchors: float [..., num_anchors, dim].
        references: float [..., num_references, dim]; None takes the anchors.

    Returns:
        float [..., num_anchors, num_references], never negative; exactly 0 where two points are
        equal. Compiled by XLA, also where they are closer than 1e-7 of their lengths.
    """
    points = [precision.at_least_float32(anchors)]
    if references is not None:
        points.append(precision.at_least_float32(references))
    if compat.is_compiled_by_xla():
        return _in_float64(*points)
    return _expanded_or_by_difference(*_of_equal_leading_axes(*points))


def _of_equal_leading_axes(*points):
    shapes = [x.shape[:-2] for x in points]
    if shapes[0] == shapes[-1]:
        return points
    leading = tf.broadcast_dynamic_shape(*(tf.shape(x)[:-2] for x in points))
    return [tf.broadcast_to(x, tf.concat([leading, tf.shape(x)[-2:]], 0)) for x in points]


@tf.custom_gradient
def _expanded_or_by_difference(*points):
    """Squared distances in one set [..., n, dim], or between two whose leading axes are equal."""
    anchors, others, is_one_set = points[0], points[-1], len(points) == 1
    squares = _sums_of_squares(anchors, others)
    expanded = squares - 2.0 * tf.matmul(anchors, others, transpose_b=True)
    close = tf.where(expanded <= _CLOSE * squares)  # `<=`: points without any length are close.
    rows, columns = close[:, :-1], tf.concat([close[:, :-2], close[:, -1:]], axis=-1)
    apart = tf.gather_nd(anchors, rows) - tf.gather_nd(others, columns)
    by_difference = tf.reduce_sum(tf.square(apart), axis=-1)

    # By hand, as TensorFlow's own loses what is close in the sums of what is far.
    def gradient(upstream):
        upstream += tf.linalg.matrix_transpose(upstream) if is_one_set else upstream
        of_far = tf.tensor_scatter_nd_update(upstream, close, tf.zeros_like(by_difference))
        of_close = tf.gather_nd(upstream, close)[:, None] * apart
        to_anchors = tf.reduce_sum(of_far, -1)[..., None] * anchors - tf.matmul(of_far, others)
        to_anchors = tf.tensor_scatter_nd_add(to_anchors, rows, of_close)
        if is_one_set:
            return 2.0 * to_anchors
        to_others = tf.reduce_sum(of_far, -2)[..., None] * others
        to_others -= tf.matmul(of_far, anchors, transpose_a=True)
        return to_anchors, tf.tensor_scatter_nd_sub(to_others, columns, of_close)

    return tf.tensor_scatter_nd_update(expanded, close, by_difference), gradient


def _in_float64(*points):
    """Squared distances for XLA, which would make room for all pairs where few are close."""
    anchors, others = (tf.cast(x, tf.float64) for x in (points[0], points[-1]))
    squares = _sums_of_squares(anchors, others)
    expanded = squares - 2.0 * tf.matmul(anchors, others, transpose_b=True)
    is_close = expanded <= 1e-14 * squares  # Not `>`: what is not a number must stay visible.
    return tf.cast(tf.where(is_close, tf.zeros_like(expanded), expanded), points[0].dtype)


def _sums_of_squares(anchors, others):
    """`|a|² + |b|²` of every pair."""
    # Outside a graph, `** 2` would take longer than all the rest.
    of_anchors = tf.reduce_sum(tf.square(anchors), axis=-1)
    return of_anchors[..., :, None] + tf.reduce_sum(tf.square(others), axis=-1)[..., None, :]


def euclidean(anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
    """Euclidean distances; the gradient of a distance of 0 is 0.

    Args:
        anchors: float [..., num_anchors, dim].
        references: float [..., num_references, dim]; None takes the anchors.

    Returns:
        float [..., num_anchors, num_references]; exactly 0 where two points are equal.
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
