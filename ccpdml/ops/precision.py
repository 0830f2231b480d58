"""The number format of the geometry."""

import tensorflow as tf


def at_least_float32(x: tf.Tensor) -> tf.Tensor:
    """Returns `x` as a float tensor of 32 bits or more; float32 and float64 stay as they are.

    Exponentials and differences of distances lose everything in 16 bits, so whatever comes
    after the embedding is computed in float32, whatever the dtype policy.
    """
    x = tf.convert_to_tensor(x)
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)
