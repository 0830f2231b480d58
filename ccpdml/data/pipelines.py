"""Input pipelines: uint8 batches in tf.data, for training and for embedding.

Pixels held in memory are gathered and viewed a batch at a time; files are decoded one by one on
all cores. Either way a batch depends on (seed, step) alone.
"""

import numpy as np
import tensorflow as tf

from ccpdml.data import decoding


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
        positions = (step - first_step) * share + tf.range(share, dtype=tf.int64)
        return positions, tf.ensure_shape(indices, [share]), tf.ensure_shape(seeds, [share, 2])

    def index_at(position):
        return draw(first_step + position // share)[0][position % share]

    stop = np.iinfo(np.int64).max if num_steps is None else first_step + num_steps
    draws = tf.data.Dataset.range(first_step, stop).map(draw_op)
    labels = tf.constant(image_set.labels)

    def look(images, indices, seeds):
        return view(tf.gather(images, indices), seeds), tf.gather(labels, indices)

    if image_set.in_memory:
        return _pixel_views(image_set, look, draws)
    num_images = None if num_steps is None else num_steps * share
    return _file_views(image_set, look, draws, share, num_images, index_at)


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
    draws = tf.data.Dataset.from_tensor_slices(
        (np.arange(len(indices)), indices, _seeds([seed], len(indices)))
    ).batch(batch_size)

    def look(images, indices, seeds):
        return view(tf.gather(images, indices), seeds)

    if image_set.in_memory:
        return _pixel_views(image_set, look, draws)
    return _file_views(image_set, look, draws, batch_size, len(indices), indices.__getitem__)


def _seeds(key, count):
    """Random bits for views, int32 [count, 2]."""
    return np.random.default_rng(key).integers(2**31, size=(count, 2), dtype=np.int32)


def _pixel_views(image_set, look, draws):
    """Batches of views of pixels, a batch at a time.

    Args:
        image_set: the images.
        look: function of (all images, indices, seeds) -> element of the result.
        draws: dataset of (positions int64 [b], indices int64 [b], seeds int32 [b, 2]).
    """
    images = _on_cpu(image_set.images)
    batches = draws.map(lambda positions, indices, seeds: look(images, indices, seeds))
    return batches.prefetch(tf.data.AUTOTUNE)


def _file_views(image_set, look, draws, batch_size, num_images, index_at):
    """Batches of views of files, decoded one by one on all cores; `look`, `draws` as for pixels.

    Args:
        batch_size: images per batch.
        num_images: images altogether; None is endless.
        index_at: function of a position -> index of its image, to name one that cannot be read.
    """
    images = _on_cpu(image_set.images)
    views = draws.unbatch().map(
        lambda position, index, seed: (position, look(images, index, seed)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    batches = views.ignore_errors().batch(batch_size, drop_remainder=num_images is None)

    def path_at(position):
        return image_set.images[index_at(int(position))]

    return _without_gaps(batches, batch_size, num_images, path_at).prefetch(tf.data.AUTOTUNE)


def _on_cpu(array):
    with tf.device("CPU:0"):
        return tf.constant(array)


def _without_gaps(batches, batch_size, num_images, path_at):
    """Turns a file that could not be read into an error that names it.

    An op that cannot decode does not know whose bytes it has. So images that fail are left out,
    and the gap in the numbers tells which one it was, at next to no cost for the others.

    Args:
        batches: dataset of (positions int64 [b], element), numbers 0, 1, ... but for gaps.
        batch_size: images in every batch but the last.
        num_images: images altogether; None is endless.
        path_at: function of a position -> path of its file.

    Returns:
        Dataset of elements.
    """

    def fail(expected, positions):
        present = np.isin(expected, positions)
        path = path_at(expected[np.argmin(present)])
        raise ValueError(f"{path} cannot be read: {decoding.why_unreadable(path)}")

    def check(number, batch):
        positions, element = batch
        expected = number * batch_size + tf.range(batch_size, dtype=tf.int64)
        if num_images is not None:
            expected = expected[: num_images - number * batch_size]
        same = tf.cond(
            tf.equal(tf.size(positions), tf.size(expected)),
            lambda: tf.reduce_all(positions == expected),
            lambda: False,
        )
        alright = tf.cond(
            same, lambda: same, lambda: tf.numpy_function(fail, [expected, positions], tf.bool)
        )
        with tf.control_dependencies([alright]):
            return tf.nest.map_structure(shaped, element)

    def shaped(tensor):
        whole = num_images is None or num_images % batch_size == 0
        return tf.ensure_shape(tensor, [batch_size if whole else None, *tensor.shape[1:]])

    if num_images is None:
        return batches.enumerate().map(check)
    # One batch too many: where the last images fail, it is in the place of a batch that lacks.
    end = tf.nest.map_structure(_zeros, batches.element_spec)
    batches = batches.concatenate(tf.data.Dataset.from_tensors(end)).enumerate()
    return batches.take(-(-num_images // batch_size)).map(check)


def _zeros(spec):
    return tf.zeros([0 if size is None else size for size in spec.shape], spec.dtype)
