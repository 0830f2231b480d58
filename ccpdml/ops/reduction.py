"""Sums and means that stay finite: an empty mean is 0, a large exponent does not overflow."""

import tensorflow as tf


def mean_of_nonzero(x: tf.Tensor) -> tf.Tensor:
    """Mean of the entries above 0; 0 if there is none."""
    count = tf.math.count_nonzero(x > 0.0, dtype=x.dtype)
    # Not `divide_no_nan`: what is not a number must stay visible.
    return tf.reduce_sum(x) / tf.maximum(count, 1.0)


def log_one_plus_sum_exp(x: tf.Tensor, mask: tf.Tensor, axis: int = -1) -> tf.Tensor:
    """`log(1 + sum(exp(x)))` over one axis and the entries where `mask` is 1.

    Args:
        x: exponents, float [..., n, ...].
        mask: 1 where an entry counts and 0 elsewhere, of the shape of `x`.
        axis: which axis is summed, int.

    Returns:
        float, the axis gone; exactly 0 where nothing counts.
    """
    counts = tf.cast(mask, tf.bool)

    # By hand the gradient is one product; TensorFlow's own repeats a step for each one here.
    @tf.custom_gradient
    def of_exponents(x):
        exponents = tf.where(counts, x, x.dtype.min)
        highest = tf.nn.relu(tf.reduce_max(exponents, axis, keepdims=True))
        terms = tf.exp(exponents - highest)  # exp(dtype.min - highest) is 0
        total = tf.reduce_sum(terms, axis, keepdims=True)
        whole = tf.exp(-highest) + total
        # log1p keeps small sums exact; `highest` is 0 whenever the sum can be small.
        value = highest + tf.where(highest > 0.0, tf.math.log(whole), tf.math.log1p(total))

        def gradient(upstream):
            return terms * (tf.expand_dims(upstream, axis) / whole)

        return tf.squeeze(value, axis), gradient

    return of_exponents(x)


def log_sum_exp(x: tf.Tensor, mask: tf.Tensor, axis: int = -1) -> tf.Tensor:
    """`log(sum(exp(x)))` over one axis and the entries where `mask` is 1.

    Args:
        x: exponents, float [..., n, ...].
        mask: 1 where an entry counts and 0 elsewhere, of the shape of `x`.
        axis: which axis is summed, int.

    Returns:
        float, the axis gone; the lowest number of the dtype where nothing counts.
    """
    exponents = tf.where(tf.cast(mask, tf.bool), x, x.dtype.min)
    highest = tf.stop_gradient(tf.reduce_max(exponents, axis, keepdims=True))
    total = tf.reduce_sum(mask * tf.exp(exponents - highest), axis)
    return tf.squeeze(highest, axis) + tf.math.log(tf.where(total > 0.0, total, 1.0))


def softmax_cross_entropy(logits: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """Minus the log of the softmax probability of the positive entries.

    Args:
        logits: float [..., n].
        positive: 1 where an entry is right, of the shape of `logits`.
        negative: 1 where it is wrong; entries in neither mask take no part.

    Returns:
        float [...]; 0 where no entry is right or none is wrong.
    """
    difference = log_sum_exp(logits, negative) - log_sum_exp(logits, positive)
    has_positive = tf.reduce_any(positive > 0.0, axis=-1)
    return tf.where(has_positive, tf.nn.softplus(tf.where(has_positive, difference, 0.0)), 0.0)
