"""Type of what a layer of ours has to be told by where this library is not installed."""

from typing import Protocol, runtime_checkable

import tensorflow as tf


@runtime_checkable
class BuiltIn(Protocol):
    """A layer that can be told in layers and operations that Keras itself brings."""

    def built_in(self, inputs: tf.Tensor, /) -> tf.Tensor:
        """Returns what the layer makes of symbolic `inputs`, without a layer of this library."""
