"""Input pipelines: uint8 batches in tf.data, for training and for embedding.

Pixels held in memory are gathered and viewed a batch at a time; files are decoded one by one on
all cores. Either way a batch depends on (seed, step) alone.
"""

import numpy as np
import tensorflow as tf


def training_batches(image_set, sampler, view, seed=0, first_step=0, num_steps=None, shard=(0, 1)):
    """Batches to train on, from step `first_step` on.

    Args:
        image_set: the training images.
        sampler: object with `batch_size` and `batch(step)` -> indices, int64 [batch_size].
        view: see `ccpdml.data.views`.
        seed: of the random views, int >= 0. Each image's is a function of (seed, step, slot).
        first_step: step of the first batch, int >= 0; where to go on after a stop.
        num_steps: number of batches; None is endless.
        shard: (i, n): worker i of n decodes and gets the i-th of n equal slices of each batch.

    Returns:
        `tf.data.Dataset` of (images uint8 [b, height, width, channels], labels int32 [b]) with
        b = batch_size / n.

    Raises:
        ValueError: if the shard is out of range or does not divide the batch.
    """
    index, count = shard
    if not 0 <= index < count or sampler.batch_size % count:
        raise ValueError(
            f"`shard` must be (i, n) with 0 <= i < n and n a divisor of {sampler.batch_size}. "
            f"Received: {shard=}"
        )
    share = sampler.batch_size // count
    slots = slice(index * share, (index + 1) * share)

    def draw(step):
        return sampler.batch(int(step))[slots], _seeds([seed, step], sampler.batch_size)[slots]

    def draw_op(step):
        indices, seeds = tf.numpy_function(draw, [step], [tf.int64, tf.int32], stateful=False)
        return tf.ensure_shape(indices, [share]), tf.ensure_shape(seeds, [share, 2])

    stop = np.iinfo(np.int64).max if num_steps is None else first_step + num_steps
    draws = tf.data.Dataset.range(first_step, stop).map(draw_op)
    images = _views(image_set, view, draws, batch_size=share, with_labels=True)
    return images.prefetch(tf.data.AUTOTUNE)


def image_batches(image_set, view, batch_size, indices=None, seed=0):
    """Images in order, to embed: evaluation and pools of candidates.

    Args:
        image_set: the images.
        view: see `ccpdml.data.views`.
        batch_size: images per batch; the last batch may be smaller.
        indices: which images, int [k]; None is all of them.
        seed: of the random views, int >= 0. Each image's is a function of (seed, position).

    Returns:
        `tf.data.Dataset` of images, uint8 [b, height, width, channels].

    Raises:
        ValueError: if `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size=}")
    indices = np.arange(len(image_set)) if indices is None else np.asarray(indices, np.int64)
    draws = tf.data.Dataset.from_tensor_slices((indices, _seeds([seed], len(indices))))
    images = _views(image_set, view, draws.batch(batch_size), batch_size, with_labels=False)
    return images.prefetch(tf.data.AUTOTUNE)


def _seeds(key, count):
    """Random bits for views, int32 [count, 2]."""
    return np.random.default_rng(key).integers(2**31, size=(count, 2), dtype=np.int32)


def _views(image_set, view, draws, batch_size, with_labels):
    """Batches of (indices [b], seeds [b, 2]) -> batches of views, with labels or without."""
    with tf.device("CPU:0"):
        images, labels = tf.constant(image_set.images), tf.constant(image_set.labels)

    def look(indices, seeds):
        viewed = view(tf.gather(images, indices), seeds)
        return (viewed, tf.gather(labels, indices)) if with_labels else viewed

    if image_set.in_memory:
        return draws.map(look)
    return draws.unbatch().map(look, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
