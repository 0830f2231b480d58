"""Gradients between backpropagation and the optimizer: decay, a check, clipping, in this order."""

import tensorflow as tf


def add_decay(gradients, variables, weight, centers=None):
    """Adds the gradient of `weight/2 · |v - center|²` to that of each variable.

    Args:
        gradients: list of tensors.
        variables: the variables they belong to.
        weight: strength of the pull, float or scalar tensor.
        centers: tensors that the variables are pulled to; None pulls to 0 (L2 weight decay).

    Returns:
        List of tensors.
    """
    values = [tf.convert_to_tensor(v) for v in variables]
    if centers is not None:
        values = [v - tf.convert_to_tensor(c) for v, c in zip(values, centers, strict=True)]
    return [g + tf.cast(weight, v.dtype) * v for g, v in zip(gradients, values, strict=True)]


def are_finite(tensors):
    """Tells whether all entries of a list of tensors are finite, bool scalar; reads each once."""
    return tf.math.is_finite(tf.add_n([tf.reduce_sum(tf.cast(x, tf.float32)) for x in tensors]))


def clip(gradients, clip_norm=None, clip_value=None):
    """Clips by the norm of all gradients together, then each entry by value.

    Args:
        gradients: list of tensors.
        clip_norm: largest norm of all of them together; None leaves it.
        clip_value: largest absolute value of an entry; None leaves it.

    Returns:
        List of tensors.
    """
    if clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
    if clip_value is not None:
        gradients = [tf.clip_by_value(g, -clip_value, clip_value) for g in gradients]
    return gradients
