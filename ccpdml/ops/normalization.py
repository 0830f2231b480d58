"""Maps of embeddings to the unit ball or the unit sphere."""

import tensorflow as tf

from ccpdml.ops import precision


@tf.custom_gradient
def _project_on_ball(x):
    # The largest entry is divided out first: its square may overflow or vanish, its ratio not.
    scale = tf.reduce_max(tf.abs(x), axis=-1, keepdims=True)
    norm = scale * tf.norm(tf.math.divide_no_nan(x, scale), axis=-1, keepdims=True)
    outside = norm > 1.0
    direction = tf.math.divide_no_nan(x, norm)

    def gradient(upstream):
        along = tf.reduce_sum(direction * upstream, axis=-1, keepdims=True)
        return tf.where(
            outside, tf.math.divide_no_nan(upstream - direction * along, norm), upstream
        )

    return tf.where(outside, direction, x), gradient


def lipschitz_normalize(x):
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


def unit_normalize(x):
    """Projects vectors on the unit sphere: `x / |x|`; a zero vector stays zero.

    Args:
        x: vectors, float [..., dim]. 16-bit floats are computed and returned in float32.

    Returns:
        Tensor of the shape of `x`; lengths below 1e-6 are treated as 1e-6.
    """
    return tf.math.l2_normalize(precision.at_least_float32(x), axis=-1)
