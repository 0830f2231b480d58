"""Bytes of a file inside a graph: where they are, and the numbers that they spell."""

import functools

import tensorflow as tf


def traced_once(reads):
    """Has a function of all bytes of a file be traced once, for all the graphs that call it.

    A run makes half a dozen pipelines. To trace for each how files of every kind are read takes
    much longer than to read a few.

    Args:
        reads: function of a scalar string -> tensors, of which nothing but that string is read.

    Returns:
        The same function; it takes tensors and bytes.
    """

    @functools.cache
    def graph():
        with tf.init_scope():
            return tf.function(reads).get_concrete_function(tf.TensorSpec([], tf.string))

    @functools.wraps(reads)
    def call(contents):
        return graph()(tf.convert_to_tensor(contents))

    return call


def read(contents, position, count):
    """Bytes of a file from a position on; zeros beyond its end.

    Args:
        contents: all its bytes, scalar string.
        position: int64 scalar, at least 0.
        count: how many, int.

    Returns:
        Int64 [count].
    """
    length = tf.cast(tf.strings.length(contents), tf.int64)
    position = tf.minimum(tf.cast(position, tf.int64), length)
    found = tf.strings.substr(contents, position, count)
    return tf.cast(tf.io.decode_raw(found, tf.uint8, fixed_length=count), tf.int64)


def head(contents):
    """The first 64 KiB of a file, scalar string: no segment of a JPEG file is longer."""
    return tf.strings.substr(contents, 0, 2**16)


def ends(contents):
    """The first and the last 64 KiB of a file as one scalar string; all of a file of up to both."""
    length = tf.strings.length(contents)
    rest = tf.minimum(tf.maximum(length - 2**16, 2**16), length)
    return tf.strings.join([head(contents), tf.strings.substr(contents, rest, 2**16)])


def number(values, little=False):
    """The number that bytes [..., n] spell, int64 [...]; the least byte is last, or first."""
    weights = [256**i for i in range(values.shape[-1])]
    weights = tf.where(little, *(tf.constant(w, tf.int64) for w in (weights, weights[::-1])))
    return tf.reduce_sum(values * weights, axis=-1)


def has(contents, name):
    """Tells whether a name (a regular expression of letters, str) is in a file, bool scalar."""
    rest = tf.strings.regex_replace(contents, name, "", replace_global=False)
    return tf.strings.length(rest) < tf.strings.length(contents)


def end_of(contents, name):
    """Position after the first place of a name in a file, int64 scalar; its end if there is none.

    Args:
        contents: all its bytes, scalar string.
        name: a regular expression of letters, str.
    """
    since = tf.strings.regex_replace(contents, f"{name}\\C*", "", replace_global=False)
    # `since` lacks the name and all after it; without the name alone the rest is shorter by it.
    named = tf.strings.regex_replace(contents, name, "", replace_global=False)
    end = tf.strings.length(since) + tf.strings.length(contents) - tf.strings.length(named)
    return tf.cast(end, tf.int64)
