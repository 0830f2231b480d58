"""The EXIF orientation of the bytes of an image file, by TensorFlow ops alone.

Cameras store pixels as the sensor gives them, and note how to turn them: in the segment APP1 of a
JPEG file, the chunk eXIf of a PNG file, the chunk EXIF of a WebP file. All of it runs inside a
graph, so that an exported model turns images as training does. Blocks are found by their names
rather than by walking through the file: loops and branches are slow in a graph. A note that makes
no sense is 1, upright.

Source: Exif 2.32 (tag 0x0112); RFC 9649 (WebP).
"""

import tensorflow as tf

from ccpdml.data import octets

# Names of blocks as regular expressions, and the bytes between name and block.
_JPEG, _PNG, _WEBP = ("Exif\\x00\\x00", 0), ("eXIf", 0), ("EXIF", 4)
_TAG, _SHORT = 0x0112, 3
_ENTRY_SIZE, _MOST_ENTRIES = 12, 256  # Bytes of a tag with its value, and tags that are looked at.
# How stored pixels become upright, by orientation: swap rows and columns, then reverse the rows,
# reverse the columns. There is no orientation 0.
_TURNS = (
    *((0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0)),
    *((1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)),
)


def is_noted(contents):
    """Tells whether a JPEG file may have a note on its orientation, bool scalar; quick."""
    return octets.has(octets.head(contents), _JPEG[0])


@octets.traced_once
def of_jpeg(contents):
    """Orientation of the bytes of a JPEG file (scalar string), int32 in 1..8."""
    return _orientation(octets.head(contents), *_JPEG)


def of_png(contents):
    """Orientation of the bytes of a PNG file (scalar string), int32 in 1..8."""
    ends = octets.ends(contents)  # The chunk stands before or behind the pixels.
    # Most have no note, and are spared the search for it.
    is_noted = octets.has(ends, _PNG[0])
    return tf.cond(is_noted, lambda: _orientation(ends, *_PNG), lambda: 1)


def of_webp(contents):
    """Orientation of the bytes of a WebP file (scalar string), int32 in 1..8."""
    return _orientation(contents, *_WEBP)


def upright(image, orientation):
    """Turns stored pixels [height, width, channels] upright."""

    def turn():
        swapped, *reversed_axes = tf.unstack(tf.gather(_TURNS, orientation))
        turned = tf.transpose(image, tf.stack([swapped, 1 - swapped, 2]))
        return tf.reverse(turned, tf.boolean_mask([0, 1], tf.stack(reversed_axes) == 1))

    return tf.cond(orientation > 1, turn, lambda: image)


def stored_window(choose_window, shape, orientation):
    """Place among the stored pixels of a window that is chosen in the upright image.

    Args:
        choose_window: function of the upright image's shape, int32 [3], -> (top, left, height,
            width), int32 [4].
        shape: of the stored image, int32 [3].
        orientation: int32 in 1..8.

    Returns:
        Int32 [4], likewise.
    """
    swapped, *reversed_axes = tf.unstack(tf.gather(_TURNS, orientation))
    order = tf.stack([swapped, 1 - swapped])
    upright_size = tf.gather(shape[:2], order)
    window = choose_window(tf.concat([upright_size, shape[2:]], axis=0))
    corner, size = window[:2], window[2:]
    corner = tf.where(tf.stack(reversed_axes) == 1, upright_size - corner - size, corner)
    return tf.concat([tf.gather(corner, order), tf.gather(size, order)], axis=0)


def _orientation(contents, name, gap):
    """Orientation that the block after a name notes, int32 in 1..8; 1 if there is none."""
    start = octets.end_of(contents, name) + gap
    head = octets.read(contents, start, 8)
    little = tf.reduce_all(head[:2] == tf.constant([*b"II"], tf.int64))
    directory = start + octets.number(head[4:], little)
    table = octets.read(contents, directory, 2 + _ENTRY_SIZE * _MOST_ENTRIES)
    entries = tf.reshape(table[2:], [_MOST_ENTRIES, _ENTRY_SIZE])
    is_it = (
        (tf.range(_MOST_ENTRIES, dtype=tf.int64) < octets.number(table[:2], little))
        & (octets.number(entries[:, 0:2], little) == _TAG)
        & (octets.number(entries[:, 2:4], little) == _SHORT)
    )
    value = tf.reduce_max(tf.where(is_it, octets.number(entries[:, 8:10], little), 0))
    is_block = (little | tf.reduce_all(head[:2] == tf.constant([*b"MM"], tf.int64))) & (
        octets.number(head[2:4], little) == 42
    )
    return tf.where(is_block & (value >= 1) & (value <= 8), tf.cast(value, tf.int32), 1)
