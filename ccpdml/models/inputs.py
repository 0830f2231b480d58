"""Input conventions of backbones: uint8 RGB in, float32 out."""

import gin
import tensorflow as tf

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@gin.register
def scale_to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Maps images to [-1, 1], as ResNet50V2 and the small network take them."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


@gin.register
def subtract_mean_bgr(images: tf.Tensor) -> tf.Tensor:
    """Reverses the channels and subtracts ImageNet's mean from 0..255, as models of Caffe have it.

    Source: supplement, 2.1; the original program's mean, 255 x (.485, .456, .406) of red, green
        and blue. That of Keras's ResNet50 differs by less than 0.6.
    """
    centered = tf.cast(images, tf.float32) - 255.0 * tf.constant(_IMAGENET_MEAN)
    return tf.reverse(centered, axis=[-1])


@gin.register
def standardize(images: tf.Tensor) -> tf.Tensor:
    """Subtracts ImageNet's mean from 0..1 and divides by its deviation, as most PyTorch models."""
    return (tf.cast(images, tf.float32) / 255.0 - _IMAGENET_MEAN) / _IMAGENET_DEVIATION


@gin.register
def keep_range(images: tf.Tensor) -> tf.Tensor:
    """Leaves 0..255: for networks that scale inside, such as EfficientNet and ConvNeXt."""
    return tf.cast(images, tf.float32)
