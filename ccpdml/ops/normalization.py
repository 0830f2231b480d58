"""Maps of embeddings to the unit ball or the unit sphere."""

import tensorflow as tf

from ccpdml.ops import precision


@tf.custom_gradient
def _project_on_ball(x):
    length = _length(x)
    divisor = tf.maximum(length, 1.0)
    projected = x / divisor

    def gradient(upstream):
        along = tf.reduce_sum(projected * upstream, axis=-1, keepdims=True)
        return (upstream - projected * tf.where(length > 1.0, along, 0.0)) / divisor

    return projected, gradient


def _length(x):
    """Length of vectors, float [..., 1]; below 1e-19 it may come out as 0."""
    squared = tf.reduce_sum(x * x, axis=-1, keepdims=True)

    def of_long_vectors():
        # The largest entry is divided out first: its square overflows, its ratio does not.
        scale = tf.reduce_max(tf.abs(x), axis=-1, keepdims=True)
        return scale * tf.norm(tf.math.divide_no_nan(x, scale), axis=-1, keepdims=True)

    has_overflow = tf.reduce_any(tf.math.is_inf(squared))
    return tf.cond(has_overflow, of_long_vectors, lambda: tf.sqrt(squared))


def lipschitz_normalize(x: tf.Tensor) -> tf.Tensor:
    """Projects vectors on the unit ball: `x / max(1, |x|)`.

    Vectors inside the ball are left alone, those outside land on the sphere, so the map is
    Lipschitz (ordinary normalization is not, near 0).

    Args:
        x: vectors, float [..., dim]. 16-bit floats are computed and returned in float32.

    Returns:
        Tensor of the shape of `x`. Its gradient is the exact one: `u` inside the ball, and
        `(u - x̂ (x̂·u)) / |x|` outside.

    Source: section 4.4 of the paper.
    """
    return _project_on_ball(precision.at_least_float32(x))


def unit_normalize(x: tf.Tensor) -> tf.Tensor:
    """Projects vectors on the unit sphere: `x / |x|`; a zero vector stays zero.

    Args:
        x: vectors, float [..., dim]. 16-bit floats are computed and returned in float32.

    Returns:
        Tensor of the shape of `x`; lengths below 1e-6 are treated as 1e-6.
    """
    return tf.math.l2_normalize(precision.at_least_float32(x), axis=-1)
