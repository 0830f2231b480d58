"""Weights that a loss writes itself: memories, counters, running statistics.

They are part of checkpoints and survive a resume. Every replica writes the same value, as the
criterion sees the global batch on each.
"""

import tensorflow as tf

from ccpdml import compat


def add(layer, name, shape=(), dtype="float32", initializer="zeros"):
    """Adds a weight to `layer` that its `call` may assign, also inside `strategy.run`.

    Args:
        layer: a Keras layer.
        name: name of the weight.
        shape: its shape, ints.
        dtype: its dtype.
        initializer: Keras initializer, or the name of one.

    Returns:
        The weight, not trainable.
    """
    return layer.add_weight(
        name=name,
        shape=shape,
        dtype=dtype,
        initializer=initializer,
        trainable=False,
        aggregation=compat.ONLY_FIRST_REPLICA,
    )


def read(weight):
    """The value of a weight as a tensor that later writes do not change."""
    return tf.identity(tf.convert_to_tensor(weight))


def write_rows(weight, rows, values):
    """Replaces rows of a weight.

    Args:
        weight: of shape [size, ...].
        rows: which ones, int [n], each in 0..size-1.
        values: tensor [n, ...].
    """
    variable = compat.raw(weight)
    variable.scatter_update(tf.IndexedSlices(tf.cast(values, variable.dtype), rows))
