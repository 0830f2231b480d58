"""Types of a backbone, and of what the network that it gives may say of itself."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import tensorflow as tf


@runtime_checkable
class Backbone(Protocol):
    """A function that gives a network from images to a feature map or to tokens."""

    def __call__(self, input_shape: tuple[int, int, int]) -> tf.keras.Model:
        """Returns a Keras model [batch, height, width, channels] -> feature map, or tokens.

        Of rank 4 or [batch, tokens, channels].

        Args:
            input_shape: (height, width, channels) of the images.
        """


@runtime_checkable
class WithPreprocess(Protocol):
    """A Keras model that says what it wants of images.

    Attributes:
        preprocess: function of uint8 images [batch, height, width, channels] that makes its input;
            None takes them as they are.
    """

    preprocess: Callable[[tf.Tensor], tf.Tensor] | None


@runtime_checkable
class WithPrefixTokens(Protocol):
    """A Keras model to tokens [batch, tokens, channels] that says which stand for no place.

    Attributes:
        num_prefix_tokens: how many tokens stand before those of places, int: 1 for a class token,
            more where there are registers, 0 where there is none.
    """

    num_prefix_tokens: int


@runtime_checkable
class WithLayerDecay(Protocol):
    """An encoder of which the layers of the backbone learn at different rates.

    Attributes:
        layer_decay: factor of the learning rate from one block to the one before it, in (0, 1).
    """

    layer_decay: float
