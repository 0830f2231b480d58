"""BN-Inception, the backbone of the paper."""

import gin
import tensorflow as tf

from ccpdml.models import inputs, weight_files

# Channels of a block: 1x1; 3x3 reduced, 3x3; double 3x3 reduced, double 3x3; pool projection.
# The blocks without 1x1 and projection halve the picture.
_BLOCKS = {
    "3a": (64, (64, 64), (64, 96), 32),
    "3b": (64, (64, 96), (64, 96), 64),
    "3c": (None, (128, 160), (64, 96), None),
    "4a": (224, (64, 96), (96, 128), 128),
    "4b": (192, (96, 128), (96, 128), 128),
    "4c": (160, (128, 160), (128, 160), 128),
    "4d": (96, (128, 192), (160, 192), 128),
    "4e": (None, (128, 192), (192, 256), None),
    "5a": (352, (192, 320), (160, 224), 128),
    "5b": (352, (192, 320), (192, 224), 128),
}
_MAX_POOLED = ("5b",)  # The other blocks project an average.


@gin.register
def bn_inception(
    input_shape: tuple[int, int, int], weights: str | None = "imagenet"
) -> tf.keras.Model:
    """BN-Inception (Inception v2) up to its last block.

    Layers are named as in the public PyTorch state dict, whose weights
    `ccpdml import-weights` converts. It takes images as `inputs.subtract_mean_bgr` makes
    them.

    Args:
        input_shape: (height, width, 3) of the images.
        weights: "imagenet", the path of a converted file, or None for random ones.

    Returns:
        Keras model [batch, height, width, 3] -> feature map [batch, h, w, 1024], h about
        height / 32.

    Raises:
        FileNotFoundError: if the weights are not there, telling how to get them.

    Source: Ioffe and Szegedy, "Batch Normalization" (2015), in the form of the Caffe model.
    """
    images = tf.keras.Input(input_shape)
    features = _convolve(images, "conv1_7x7_s2", 64, 7, strides=2)
    features = _convolve(_halve(features), "conv2_3x3_reduce", 64, 1)
    features = _halve(_convolve(features, "conv2_3x3", 192, 3))
    for name, channels in _BLOCKS.items():
        features = _block(features, name, *channels)
    model = tf.keras.Model(images, features, name="bn_inception")
    model.preprocess = inputs.subtract_mean_bgr
    if weights is not None:
        weight_files.load(model, "bn_inception", weights)
    return model


def _block(features, name, single, triple, double, projection):
    strides = 1 if single else 2
    prefix = f"inception_{name}_"
    branches = [_convolve(features, f"{prefix}1x1", single, 1)] if single else []
    branch = _convolve(features, f"{prefix}3x3_reduce", triple[0], 1)
    branches.append(_convolve(branch, f"{prefix}3x3", triple[1], 3, strides))
    branch = _convolve(features, f"{prefix}double_3x3_reduce", double[0], 1)
    branch = _convolve(branch, f"{prefix}double_3x3_1", double[1], 3)
    branches.append(_convolve(branch, f"{prefix}double_3x3_2", double[1], 3, strides))
    if not projection:
        branches.append(_halve(features))
    else:
        pooled = _average(features) if name not in _MAX_POOLED else _highest(features)
        branches.append(_convolve(pooled, f"{prefix}pool_proj", projection, 1))
    return tf.keras.layers.Concatenate(name=f"{prefix}output")(branches)


def _convolve(features, name, channels, size, strides=1):
    """Convolution with bias, batch normalization, ReLU; borders as PyTorch lays them."""
    padding = "same" if strides == 1 else "valid"
    if strides > 1:  # "same" would put the odd row of the border at the other end.
        features = tf.keras.layers.ZeroPadding2D(size // 2)(features)
    features = tf.keras.layers.Conv2D(
        channels, size, strides, padding, kernel_initializer="he_normal", name=name
    )(features)
    features = tf.keras.layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn")(features)
    return tf.keras.layers.ReLU()(features)


def _halve(features):
    """3x3 maximum at every other place, the last window reaching over the border."""
    # After a ReLU nothing is below the zeros that are laid around it.
    bordered = tf.keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(features)
    return tf.keras.layers.MaxPooling2D(3, 2)(bordered)


def _average(features):
    """3x3 mean that counts the zeros around the picture."""
    return tf.keras.layers.AveragePooling2D(3, 1)(tf.keras.layers.ZeroPadding2D(1)(features))


def _highest(features):
    return tf.keras.layers.MaxPooling2D(3, 1, padding="same")(features)
