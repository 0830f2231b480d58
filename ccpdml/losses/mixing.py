"""Mixtures of points, for the losses that make some."""

import tensorflow as tf

from ccpdml.losses import state


def draw_share(num_draws: tf.Variable, seed: int, concentration: float) -> tf.Tensor:
    """Draws a share from the symmetric Beta distribution.

    Args:
        num_draws: weight that counts the draws, int32 []; the next one depends on it.
        seed: of all draws, int.
        concentration: α of the distribution, float above 0.

    Returns:
        float32 [], in 0..1.
    """
    count = state.read(num_draws)
    num_draws.assign(count + 1)
    shares = tf.random.stateless_gamma([2], tf.stack([seed, count]), alpha=concentration)
    return tf.math.divide_no_nan(shares[0], tf.reduce_sum(shares))
