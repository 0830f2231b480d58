"""Input conventions: what an encoder wants its images to be."""

import gin
import tensorflow as tf


@gin.register
def scale_to_unit_range(images):
    """Maps uint8 images to float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0
