"""Input pipelines: uint8 batches in tf.data, for training and for embedding.

Pixels held in memory are gathered and viewed a batch at a time; files are decoded one by one on
all cores. Either way a batch depends on (seed, step) alone.
"""

import contextlib
import os
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ccpdml.data import decoding
from ccpdml.data.image_set import ImageSet
from ccpdml.data.samplers import Sampler
from ccpdml.data.views import View

_ENDLESS = 2**40


class UnreadableFileError(ValueError):
    """A file of a data set that cannot be read."""


@contextlib.contextmanager
def telling_unreadable_files() -> Iterator[None]:
    """Turns what TensorFlow raises in here about a file into `UnreadableFileError`, which names it.

    What a pipeline raises passes through TensorFlow as text, with much around it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(rf"{UnreadableFileError.__name__}: (.*)", error.message)
        if found is None:
            raise
        raise UnreadableFileError(
            f"{found[1]}. `ccpdml check-data --dataset=NAME` lists all such files; "
            "--gin_bindings='data.load.skip_corrupt = True' leaves them out, also of a run that "
            "goes on."
        ) from error


def training_batches(
    image_set: ImageSet,
    sampler: Sampler,
    view: View,
    seed: int = 0,
    first_step: int = 0,
    num_steps: int | None = None,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches to train on, from step `first_step` on.

    Args:
        image_set: the training images.
        sampler: which images make up the batch of a step.
        view: a `views.View` of the kind of images.
        seed: of the random views, int >= 0. Each image's is a function of (seed, step, slot).
        first_step: step of the first batch, int >= 0; where to go on after a stop.
        num_steps: number of batches; None is endless.
        shard: (i, n): worker i of n decodes and gets the i-th of n equal slices of each batch.

    Returns:
        `tf.data.Dataset` of (images uint8 [b, height, width, channels], labels int32 [b]) with
        b = batch_size / n; labels are bool [b, num_classes] where images have several. A file that
        cannot be read is an error that names it.

    Raises:
        ValueError: if the shard is out of range or does not divide the batch, or if the view is
            not one of the kind of images.
    """
    slots, share = _slots(sampler.batch_size, shard)
    labels = tf.constant(image_set.all_labels)

    def draw(number):
        step = first_step + int(number)
        return sampler.batch(step)[slots], _seeds([seed, step], sampler.batch_size)[slots]

    num_images = share * (_ENDLESS if num_steps is None else num_steps)
    views = _views(image_set, view, draw, num_images, share)
    batches = views.map(lambda indices, images: (images, tf.gather(labels, indices)))
    return _finish(batches, tf.data.INFINITE_CARDINALITY if num_steps is None else num_steps)


def _slots(batch_size, shard):
    """Places in the batch that are a worker's (a slice), and how many they are."""
    index, count = shard
    if not 0 <= index < count or batch_size % count:
        raise ValueError(
            f"`shard` must be (i, n) with 0 <= i < n and n a divisor of {batch_size}. "
            f"Received: {shard=}"
        )
    share = batch_size // count
    return slice(index * share, (index + 1) * share), share


def image_batches(
    image_set: ImageSet,
    view: View,
    batch_size: int,
    indices: npt.ArrayLike | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Images in order, to embed: evaluation and pools of candidates.

    Args:
        image_set: the images.
        view: a `views.View` of the kind of images.
        batch_size: images per batch; the last batch may be smaller.
        indices: which images, int [k]; None is all of them.
        seed: of the random views, int >= 0. Each image's is a function of (seed, position).

    Returns:
        `tf.data.Dataset` of images, uint8 [b, height, width, channels]. A file that cannot be
        read is an error that names it.

    Raises:
        ValueError: if `batch_size` is below 1, or if the view is not one of the kind of images.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size=}")
    indices = np.arange(len(image_set)) if indices is None else np.asarray(indices, np.int64)
    seeds = _seeds([seed], len(indices))

    def draw(number):
        part = slice(number * batch_size, (number + 1) * batch_size)
        return indices[part], seeds[part]

    views = _views(image_set, view, draw, len(indices), batch_size)
    return _finish(views.map(lambda indices, images: images), -(-len(indices) // batch_size))


def _seeds(key, count):
    """Random bits for views, int32 [count, 2]."""
    return np.random.default_rng(key).integers(2**31, size=(count, 2), dtype=np.int32)


def _finish(batches, num_batches):
    """Prepares batches ahead and states their number, which Keras asks for and files hide."""
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches))
    return batches.prefetch(tf.data.AUTOTUNE)


def _views(image_set, view, draw, num_images, batch_size):
    """Batches of views.

    Args:
        image_set: the images.
        view: a `views.View`.
        draw: function of a batch's number -> (indices int64 [b], seeds int32 [b, 2]).
        num_images: images altogether, int.
        batch_size: images in every batch but the last.

    Returns:
        Dataset of (indices int64 [b], views uint8 [b, height, width, channels]).
    """
    if not isinstance(view, View) or view.reads_files == image_set.in_memory:
        wanted, such = "files", "RandomResizedCrop, CenterCrop or Resize"
        if image_set.in_memory:
            wanted, such = "pixels", "RandomShift or Plain"
        raise ValueError(
            f"`view` must be a view of {wanted}, such as {such} (in a run `train.training_view` "
            f"and `train.evaluation_view`). Received: {type(view).__name__}, which is none: "
            f"its `reads_files` would be {not image_set.in_memory}, see `data.views.View`"
        )
    numbers = tf.data.Dataset.range(-(-num_images // batch_size))
    if not image_set.in_memory:
        with tf.device("CPU:0"):
            paths = tf.constant(image_set.images)
        views = _file_views(paths, view, draw, numbers, batch_size)
        return _without_gaps(views, paths, draw, num_images, batch_size)
    images, size = image_set.images, batch_size if num_images % batch_size == 0 else None

    def gather(number):
        indices, seeds = draw(number)
        return indices, seeds, images[indices]

    def look(number):
        kinds = [tf.int64, tf.int32, tf.as_dtype(images.dtype)]
        indices, seeds, gathered = tf.numpy_function(gather, [number], kinds, stateful=False)
        indices, seeds = tf.ensure_shape(indices, [size]), tf.ensure_shape(seeds, [size, 2])
        return indices, view(tf.ensure_shape(gathered, [size, *images.shape[1:]]), seeds)

    return numbers.map(look)


def _file_views(paths, view, draw, numbers, batch_size):
    """Numbered views of files, decoded on all cores, without those that fail.

    Args:
        paths: of all files, string [n].
        numbers: dataset of the numbers of the batches.
        view, draw, batch_size: as for `_views`.

    Returns:
        Dataset of (position int64, index int64, view uint8 [height, width, channels]).
    """
    files = paths.numpy()

    def try_draw(number):
        # Errors are ignored further on. So an error here, or a disk that went away, must end the
        # views instead, or an endless pipeline would go on for ever looking for one.
        try:
            indices, seeds = draw(number)
            return os.path.isfile(files[indices[0]]), indices, seeds
        except Exception:  # `_without_gaps` draws again and raises it.
            return False, np.zeros(batch_size, np.int64), np.zeros((batch_size, 2), np.int32)

    def draw_op(number):
        kinds = [tf.bool, tf.int64, tf.int32]
        go_on, indices, seeds = tf.numpy_function(try_draw, [number], kinds, stateful=False)
        go_on, indices = tf.ensure_shape(go_on, []), tf.ensure_shape(indices, [None])
        return go_on, indices, tf.ensure_shape(seeds, [None, 2])

    def look(position, draw):
        index, seed = draw
        return position, index, view(paths[index], seed)

    draws = numbers.map(draw_op).take_while(lambda go_on, indices, seeds: go_on)
    draws = draws.map(lambda go_on, indices, seeds: (indices, seeds)).unbatch().enumerate()
    return draws.map(look, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()


def _without_gaps(views, paths, draw, num_images, batch_size):
    """Batches views, turning a file that failed into an error that names it.

    An op that cannot decode does not know whose bytes it has. So views that fail are left out,
    and the gap in their numbers tells which they were, at next to no cost for the others.
    Arguments as for `_views` and from `_file_views`.
    """
    num_batches = -(-num_images // batch_size)

    def check(number, positions):
        first = number * batch_size
        expected = np.arange(first, min(first + batch_size, num_images))
        if np.array_equal(positions, expected):
            return True
        indices = draw(number)[0][~np.isin(expected, positions)]
        failed = [path.decode() for path in paths.numpy()[indices]]
        # Where a whole disk is gone some files were merely not looked at.
        path = next((path for path in failed if not os.path.isfile(path)), failed[0])
        raise UnreadableFileError(f"{path} cannot be read: {decoding.why_unreadable(path)}")

    def check_op(number, batch):
        positions, indices, images = batch
        checked = tf.numpy_function(check, [number, positions], tf.bool)
        size = batch_size if num_images % batch_size == 0 else None
        with tf.control_dependencies([checked]):
            return tf.ensure_shape(indices, [size]), tf.ensure_shape(images, [size, *view_shape])

    batches = views.batch(batch_size)
    view_shape = views.element_spec[2].shape
    # One batch too many: where the last views fail, it takes the place of the batch that lacks.
    end = [tf.zeros([0, *spec.shape], spec.dtype) for spec in views.element_spec]
    batches = batches.concatenate(tf.data.Dataset.from_tensors(tuple(end)))
    return batches.enumerate().take(num_batches).map(check_op)
