"""Maps of embeddings to the unit ball or the unit sphere."""

import tensorflow as tf

from ccpdml.ops import precision

# Shorter vectors have the gradient of one of this length: it is one over the length.
_SHORTEST = 1e-6


@tf.custom_gradient
def _project_on_ball(x):
    length = _length(x)
    divisor = tf.maximum(length, 1.0)
    projected = x / divisor

    def gradient(upstream):
        along = tf.reduce_sum(projected * upstream, axis=-1, keepdims=True)
        return (upstream - projected * tf.where(length > 1.0, along, 0.0)) / divisor

    return projected, gradient


@tf.custom_gradient
def _project_on_sphere(x):
    length = _length(x)
    # Not `divide_no_nan`: what is not a number must stay visible.
    projected = x / tf.where(length == 0.0, tf.ones_like(length), length)

    def gradient(upstream):
        along = tf.reduce_sum(projected * upstream, axis=-1, keepdims=True)
        return (upstream - projected * along) / tf.maximum(length, _SHORTEST)

    return projected, gradient


def _length(x):
    """Length of vectors, float [..., 1]."""
    squared = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)

    def of_extreme_vectors():
        # The largest entry is divided out first: its square overflows or vanishes, its ratio not.
        scale = tf.reduce_max(tf.abs(x), axis=-1, keepdims=True)
        return scale * tf.norm(tf.math.divide_no_nan(x, scale), axis=-1, keepdims=True)

    is_extreme = tf.math.is_inf(squared) | (squared < 1e-30)
    return tf.cond(tf.reduce_any(is_extreme), of_extreme_vectors, lambda: tf.sqrt(squared))


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
        Tensor of the shape of `x`. Its gradient is `(u - x̂ (x̂·u)) / max(|x|, 1e-6)`: the exact
        one, bounded near 0.
    """
    return _project_on_sphere(precision.at_least_float32(x))
