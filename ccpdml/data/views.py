"""Views: what the network gets to see of an image. Uint8 in, uint8 out; scaling is the model's.

A view of pixels is called `view(images, seeds)` with uint8 [..., height, width, channels] and
int32 [..., 2]; the leading axes may be absent (one image) or a batch. Seeds are random bits in
0..2^31-1: equal seeds, equal views.
"""

import gin
import tensorflow as tf


@gin.register
class Plain:
    """The pixels as they are."""

    def __call__(self, images, seeds):
        del seeds  # Nothing is random here.
        return images


@gin.register
class RandomShift:
    """Pixels moved by up to `max_pixels` each way, black where nothing moves in."""

    def __init__(self, max_pixels=2):
        if max_pixels < 0:
            raise ValueError(f"`max_pixels` must be at least 0. Received: {max_pixels=}")
        self.max_pixels = max_pixels

    def __call__(self, images, seeds):
        height, width = images.shape[-3], images.shape[-2]
        border = [[self.max_pixels, self.max_pixels]] * 2 + [[0, 0]]
        padded = tf.pad(images, [[0, 0]] * (images.shape.rank - 3) + border)
        # Gathering rows, then columns, serves the whole batch with two ops.
        corner = seeds % (2 * self.max_pixels + 1)
        rows = corner[..., :1] + tf.range(height)
        columns = corner[..., 1:] + tf.range(width)
        batch_axes = images.shape.rank - 3
        padded = tf.gather(padded, rows, axis=batch_axes, batch_dims=batch_axes)
        shifted = tf.gather(padded, columns, axis=batch_axes + 1, batch_dims=batch_axes)
        return tf.ensure_shape(shifted, images.shape)
