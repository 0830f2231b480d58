"""From the bytes of a file to pixels: JPEG, PNG, GIF and BMP, in colour, greyscale or CMYK."""

import io
import os

import tensorflow as tf
from PIL import Image

CHANNELS = 3


def decode(contents):
    """The whole image of a file's bytes (scalar string), as RGB uint8 [height, width, 3]."""
    image = tf.io.decode_image(contents, channels=CHANNELS, expand_animations=False)
    return tf.ensure_shape(image, [None, None, CHANNELS])


def decode_window(contents, choose_window):
    """A part of the image of a file's bytes; of a JPEG only that part is decoded.

    Args:
        contents: bytes of the file, scalar string.
        choose_window: function of the image's shape, int32 [3], -> the window as
            (top, left, height, width), int32 [4].

    Returns:
        RGB pixels, uint8 [height, width, 3].
    """

    def from_jpeg():
        window = choose_window(tf.io.extract_jpeg_shape(contents))
        return tf.io.decode_and_crop_jpeg(contents, window, channels=CHANNELS)

    def from_other():
        image = decode(contents)
        top, left, height, width = tf.unstack(choose_window(tf.shape(image)))
        return image[top : top + height, left : left + width]

    image = tf.cond(tf.io.is_jpeg(contents), from_jpeg, from_other)
    return tf.ensure_shape(image, [None, None, CHANNELS])


def why_unreadable(path):
    """Says in words why a file cannot be decoded."""
    if not os.path.isfile(path):
        return "there is no such file"
    with open(path, "rb") as stream:
        return why_undecodable(stream.read())


def why_undecodable(contents):
    """Says in words why the bytes of a file cannot be decoded."""
    if not contents:
        return "the file is empty"
    try:
        Image.open(io.BytesIO(contents)).load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error).replace("<_io.BytesIO object at ", "<").split(" <")[0]
    return "it is of a kind that TensorFlow cannot decode, or damaged"
