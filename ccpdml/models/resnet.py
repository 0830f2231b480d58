"""ResNet-50 as torchvision and timm have it, for their weights."""

import gin
import tensorflow as tf

from ccpdml.models import inputs, weight_files

# Blocks of a stage and the channels inside them; what leaves a block has four times as many.
_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


@gin.register
def resnet50_torch(
    input_shape: tuple[int, int, int], weights: str | None = "imagenet"
) -> tf.keras.Model:
    """ResNet-50 up to its last block, in the form of torchvision and timm ("v1.5").

    A block that halves the picture does so in its 3x3 convolution, where the ResNet50 of
    `tf.keras.applications` does it in the 1x1 before; its convolutions have no bias, and its batch
    normalization an epsilon of 1e-5 in place of 1.001e-5. Weights of one network are no weights of
    the other. Layers are named as in the public state dicts, which `ccpdml import-weights`
    converts, with "_" for ".". It takes images as `inputs.standardize` makes them.

    Args:
        input_shape: (height, width, 3) of the images.
        weights: "imagenet", the path of a converted file, or None for random ones.

    Returns:
        Keras model [batch, height, width, 3] -> feature map [batch, h, w, 2048], h = height / 32,
        rounded up.

    Raises:
        FileNotFoundError: if the weights are not there, telling how to get them.
        ValueError: if they are another network's.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2015), with the stride where
        torchvision has it.
    """
    images = tf.keras.Input(input_shape)
    features = _convolve(images, "conv1", "bn1", 64, 7, 2)
    features = tf.keras.layers.ReLU()(features)
    # After a ReLU nothing is below the zeros that are laid around it.
    features = tf.keras.layers.ZeroPadding2D(1)(features)
    features = tf.keras.layers.MaxPooling2D(3, 2)(features)
    for stage, (num_blocks, channels) in enumerate(_STAGES, start=1):
        for block in range(num_blocks):
            strides = 2 if stage > 1 and block == 0 else 1
            features = _block(features, f"layer{stage}_{block}_", channels, strides)
    model = tf.keras.Model(images, features, name="resnet50_torch")
    model.preprocess = inputs.standardize
    if weights is not None:
        weight_files.load(model, "resnet50_torch", weights)
    return model


def _block(features, prefix, channels, strides):
    """1x1, 3x3 and 1x1 convolution beside a way around them, which is one where shapes change."""
    around = features
    if features.shape[-1] != 4 * channels:
        around = _convolve(
            around, f"{prefix}downsample_0", f"{prefix}downsample_1", 4 * channels, 1, strides
        )
    for number, (size, width, step) in enumerate(
        [(1, channels, 1), (3, channels, strides), (1, 4 * channels, 1)], start=1
    ):
        features = _convolve(
            features, f"{prefix}conv{number}", f"{prefix}bn{number}", width, size, step
        )
        if number < 3:
            features = tf.keras.layers.ReLU()(features)
    return tf.keras.layers.ReLU()(tf.keras.layers.Add()([features, around]))


def _convolve(features, name, norm_name, channels, size, strides):
    """Convolution without bias and batch normalization; borders as PyTorch lays them."""
    if size > 1:  # "same" would put the odd row of the border at the other end.
        features = tf.keras.layers.ZeroPadding2D(size // 2)(features)
    features = tf.keras.layers.Conv2D(
        channels, size, strides, use_bias=False, kernel_initializer="he_normal", name=name
    )(features)
    return tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=norm_name)(features)
