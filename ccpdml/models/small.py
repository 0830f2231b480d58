"""A small network for small images and machines without an accelerator."""

from collections.abc import Sequence
from typing import Annotated

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Length, checked
from ccpdml.models import inputs


@gin.register
@checked
def small_cnn(
    input_shape: tuple[int, int, int],
    filters: Annotated[Sequence[Count], Length(1)] = (32, 64, 128, 256),
    batch_norm: bool = True,
) -> tf.keras.Model:
    """Blocks of a 3x3 convolution, batch normalization, ReLU and 2x2 max pooling.

    Args:
        input_shape: (height, width, channels) of the images; values are expected around [-1, 1].
        filters: channels of each block, ints.
        batch_norm: False leaves batch normalization out (each image is then treated alone).

    Returns:
        Keras model [batch, height, width, channels] -> feature map; the last block is not pooled.
    """
    images = tf.keras.Input(input_shape)
    features = images
    for index, channels in enumerate(filters):
        if index:
            features = tf.keras.layers.MaxPooling2D(padding="same")(features)
        convolution = tf.keras.layers.Conv2D(
            channels, 3, padding="same", use_bias=not batch_norm, kernel_initializer="he_normal"
        )
        features = convolution(features)
        if batch_norm:
            features = tf.keras.layers.BatchNormalization()(features)
        features = tf.keras.layers.ReLU()(features)
    model = tf.keras.Model(images, features, name="small_cnn")
    model.preprocess = inputs.scale_to_unit_range
    return model
