"""Decoding of JPEG, PNG, GIF, BMP and WebP files to pixels, upright and in colour.

Whatever reads an image file reads it here: training, evaluation, pools, embedding, search, and the
exported model, for which all of it is TensorFlow ops.

- An image is turned as its EXIF orientation says.
- Transparent pixels show white behind them, of GIF files black, as TensorFlow decodes these.
- Greyscale and palettes become RGB, CMYK becomes RGB without a colour profile, of 16 bits the
  upper 8 stay, of an animated GIF the first picture. An animated WebP is refused: TensorFlow 2.21
  writes beyond its memory when it decodes one.
"""

import functools
import io
import os

import tensorflow as tf
from PIL import Image

from ccpdml.data import exif, octets

CHANNELS = 3
VERSION = 2  # One more whenever a file becomes other pixels; embeddings do not outlive it.
# Kinds of image files by the ends of their names, in small letters.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
# Images as well, which TensorFlow cannot decode.
OTHER_EXTENSIONS = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl")
_WEBP_ANIMATION = 2  # Of the features that a WebP file of several pictures notes.
# One black pixel.
_TINY_WEBP = bytes.fromhex("524946461a000000574542505650384c0e0000002f00000000071011fd0f4444ff03")


@octets.traced_once
def decode(contents):
    """The whole image of a file's bytes (scalar string), as RGB uint8 [height, width, 3]."""

    def from_jpeg():
        return tf.io.decode_jpeg(contents, channels=CHANNELS)

    def from_noted_jpeg():
        return from_jpeg(), exif.of_jpeg(contents)

    def from_any():
        is_jpeg = tf.io.is_jpeg(contents)
        return exif.upright(*tf.cond(is_jpeg, from_noted_jpeg, lambda: _decode_other(contents)))

    image = tf.cond(_is_plain_jpeg(contents), from_jpeg, from_any)
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

    def from_noted_jpeg():
        orientation, shape = exif.of_jpeg(contents), tf.io.extract_jpeg_shape(contents)
        window = exif.stored_window(choose_window, shape, orientation)
        return tf.io.decode_and_crop_jpeg(contents, window, channels=CHANNELS), orientation

    def from_other():
        image, orientation = _decode_other(contents)
        window = exif.stored_window(choose_window, tf.shape(image), orientation)
        top, left, height, width = tf.unstack(window)
        return image[top : top + height, left : left + width], orientation

    def from_any():
        return exif.upright(*tf.cond(tf.io.is_jpeg(contents), from_noted_jpeg, from_other))

    image = tf.cond(_is_plain_jpeg(contents), from_jpeg, from_any)
    return tf.ensure_shape(image, [None, None, CHANNELS])


def _is_plain_jpeg(contents):
    """Tells whether a file is a JPEG without EXIF, as most are: they need no other question."""
    return tf.io.is_jpeg(contents) & ~exif.is_noted(contents)


@octets.traced_once
def _decode_other(contents):
    """Pixels as stored, uint8 [height, width, 3], and orientation of what is no JPEG file."""
    head = tf.strings.substr(contents, 0, 8)
    decoders = (
        (head == b"\x89PNG\r\n\x1a\n", lambda: (_decode_png(contents), exif.of_png(contents))),
        (
            tf.strings.substr(head, 0, 4) == b"RIFF",
            lambda: (_decode_webp(contents), exif.of_webp(contents)),
        ),
        (tf.strings.substr(head, 0, 2) == b"BM", lambda: (_decode_bmp(contents), 1)),
    )

    def from_gif():
        return tf.io.decode_image(contents, channels=CHANNELS, expand_animations=False), 1

    return tf.case(decoders, from_gif)


def _decode_png(contents):
    kind = octets.read(contents, 25, 1)[0]
    # Alpha is in kinds 4 and 6; others may name a transparent color, in a chunk of up to 256 bytes.
    has_key = octets.has(octets.head(contents), "\\x00\\x00[\\x00\\x01]\\CtRNS")
    return tf.cond(
        (kind >= 4) | has_key,
        lambda: _on_white(tf.io.decode_png(contents, channels=4)),
        # Asked for alpha where there is none, TensorFlow spoils grey of less than 8 bits.
        lambda: tf.io.decode_png(contents, channels=CHANNELS),
    )


def _decode_webp(contents):
    features = octets.read(contents, 12, 9)
    is_extended = tf.reduce_all(features[:4] == tf.constant([*b"VP8X"], tf.int64))
    is_animated = is_extended & (features[8] // _WEBP_ANIMATION % 2 == 1)
    # TensorFlow is given nothing instead, which it refuses.
    image = tf.io.decode_image(tf.where(is_animated, "", contents), expand_animations=False)
    image = tf.ensure_shape(image, [None, None, None])
    return tf.cond(tf.shape(image)[-1] == 4, lambda: _on_white(image), lambda: image)


def _decode_bmp(contents):
    """BMP to RGB; the fourth byte of a pixel is no alpha in most files, and is not looked at."""

    def by_table():
        # TensorFlow gives places in the table of colors: blue, green, red and a filler each.
        start = 14 + octets.number(octets.read(contents, 14, 4), little=True)
        table = tf.reshape(octets.read(contents, start, 1024), [256, 4])
        places = tf.cast(tf.io.decode_bmp(contents)[..., 0], tf.int32)
        return tf.cast(tf.gather(tf.reverse(table[:, :3], [1]), places), tf.uint8)

    bits_per_pixel = octets.number(octets.read(contents, 28, 2), little=True)
    return tf.cond(bits_per_pixel == 8, by_table, lambda: tf.io.decode_bmp(contents)[..., :3])


def _on_white(image):
    """RGB and alpha, uint8 [height, width, 4], before white."""
    color, alpha = (tf.cast(part, tf.int32) for part in (image[..., :3], image[..., 3:]))
    return tf.cast((color * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


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
    if contents[4:8] == b"ftyp":
        return _why_not_decoded("HEIC or AVIF")
    try:
        image = Image.open(io.BytesIO(contents))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error).replace("<_io.BytesIO object at ", "<").split(" <")[0]
    if image.format in ("JPEG", "PNG", "GIF"):
        return "it is damaged, or of a kind that TensorFlow cannot decode"
    if image.format == "WEBP" and image.is_animated:
        return _why_not_decoded("animated WebP")
    return _why_not_decoded(image.format)


def why_refused(path):
    """Says in words why files with such a name cannot be decoded; None if they can."""
    extension = os.path.splitext(path)[1].lower()
    if extension in OTHER_EXTENSIONS or (extension == ".webp" and not decodes_webp()):
        return _why_not_decoded(extension)
    return None


def _why_not_decoded(kind):
    return (
        f"TensorFlow {tf.__version__} cannot decode {kind} files; convert them to PNG or JPEG "
        "(Pillow: Image.open(file).save('file.png'))"
    )


@functools.cache
def decodes_webp():
    """Tells whether this TensorFlow decodes WebP, which 2.15 does not."""
    try:
        tf.io.decode_image(_TINY_WEBP)
    except tf.errors.InvalidArgumentError:
        return False
    return True
