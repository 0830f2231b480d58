"""Sums and means that stay finite: an empty mean is 0, a large exponent does not overflow."""

import tensorflow as tf


def mean_of_nonzero(x):
    """Mean of the entries above 0: what those pay that pay anything. 0 if none does."""
    total = tf.reduce_sum(x)
    count = tf.math.count_nonzero(x > 0.0, dtype=x.dtype)
    return tf.math.divide_no_nan(total, count)


def log_one_plus_sum_exp(x, mask):
    """`log(1 + sum(exp(x)))` over the last axis and the entries where `mask` is 1.

    Args:
        x: exponents, float [..., n].
        mask: 1 where an entry counts and 0 elsewhere, float [..., n].

    Returns:
        float [...]; exactly 0 where nothing counts.
    """
    exponents = tf.where(mask > 0.0, x, tf.fill(tf.shape(x), x.dtype.min))
    highest = tf.stop_gradient(tf.nn.relu(tf.reduce_max(exponents, axis=-1, keepdims=True)))
    total = tf.reduce_sum(tf.where(mask > 0.0, tf.exp(exponents - highest), 0.0), axis=-1)
    highest = highest[..., 0]
    # log1p keeps small sums exact; `highest` is 0 whenever the sum can be small.
    return highest + tf.where(
        highest > 0.0, tf.math.log(tf.exp(-highest) + total), tf.math.log1p(total)
    )
