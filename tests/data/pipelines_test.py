import collections
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import data
from tests.data import miniatures


class Slots:
    """A sampler that is easy to predict: images step, step + 1, ..."""

    batch_size = 4

    def batch(self, step):
        return np.arange(step, step + 4)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", num_folds=1).train


def training(image_set, view=None, **kwargs):
    view = view or data.views.RandomShift()
    kwargs = {"num_steps": 3} | kwargs
    batches = data.pipelines.training_batches(image_set, Slots(), view, **kwargs)
    return [(images.numpy(), labels.numpy()) for images, labels in batches]


def test_batches_hold_what_the_sampler_asks_for(digits):
    for step, (images, labels) in enumerate(training(digits, data.views.Plain())):
        assert (images == digits.images[step : step + 4]).all()
        assert (labels == digits.labels[step : step + 4]).all()


def test_elements_are_uint8_images_and_int32_labels_of_static_shape(digits):
    batches = data.pipelines.training_batches(digits, Slots(), data.views.RandomShift())
    images, labels = batches.element_spec
    assert images == tf.TensorSpec([4, 8, 8, 1], tf.uint8)
    assert labels == tf.TensorSpec([4], tf.int32)


def test_a_run_resumes_at_any_step(digits):
    whole, rest = training(digits, num_steps=5), training(digits, first_step=3, num_steps=2)
    for (images, labels), (same_images, same_labels) in zip(whole[3:], rest, strict=True):
        assert (images == same_images).all()
        assert (labels == same_labels).all()


def test_views_change_with_the_seed_the_step_and_the_slot(digits):
    class Same(Slots):
        def batch(self, step):
            return np.zeros(4, np.int64)

    view = data.views.RandomShift(3)
    batches = data.pipelines.training_batches(digits, Same(), view, num_steps=8)
    shifted = np.concatenate([images.numpy() for images, _ in batches])
    assert len(np.unique(shifted, axis=0)) > 16
    assert any(
        (one[0] != other[0]).any()
        for one, other in zip(training(digits, seed=0), training(digits, seed=1), strict=True)
    )


def test_shards_are_contiguous_slices_of_the_global_batch(digits):
    halves = [training(digits, shard=(i, 2)) for i in range(2)]
    for step, (images, labels) in enumerate(training(digits)):
        assert (images == np.concatenate([half[step][0] for half in halves])).all()
        assert (labels == np.concatenate([half[step][1] for half in halves])).all()


@pytest.mark.parametrize("shard", [(0, 3), (2, 2), (-1, 2)])
def test_shards_that_do_not_fit_are_refused(digits, shard):
    with pytest.raises(ValueError, match="Received: shard"):
        training(digits, shard=shard)


def test_images_to_embed_come_in_order_with_a_partial_last_batch(digits):
    batches = data.pipelines.image_batches(
        digits, data.views.Plain(), batch_size=3, indices=[5, 1, 1, 7]
    )
    assert batches.element_spec == tf.TensorSpec([None, 8, 8, 1], tf.uint8)
    batches = [images.numpy() for images in batches]
    assert [len(images) for images in batches] == [3, 1]
    assert (np.concatenate(batches) == digits.images[[5, 1, 1, 7]]).all()


def test_batch_size_of_images_to_embed_is_checked(digits):
    with pytest.raises(ValueError, match="batch_size"):
        data.pipelines.image_batches(digits, data.views.Plain(), batch_size=0)


@pytest.fixture
def photographs(tmp_path):
    return data.load("folder", miniatures.folder_with_test(tmp_path), num_folds=1).train


def test_files_are_viewed_as_one_by_one(photographs):
    view = data.views.RandomResizedCrop(16)
    for step, (images, labels) in enumerate(training(photographs, view, seed=3)):
        # The documented rule: the bits of step k come from the generator of (seed, k).
        seeds = np.random.default_rng([3, step]).integers(2**31, size=(4, 2), dtype=np.int32)
        for slot in range(4):
            path = tf.constant(photographs.paths[step + slot])
            assert (view(path, tf.constant(seeds[slot])).numpy() == images[slot]).all()
            assert labels[slot] == photographs.labels[step + slot]


def test_batches_of_files_resume_and_shard_as_those_of_pixels(photographs):
    view = data.views.RandomResizedCrop(16)
    whole = training(photographs, view, num_steps=4)
    rest = training(photographs, view, first_step=2, num_steps=2)
    shards = [training(photographs, view, num_steps=4, shard=(i, 2)) for i in range(2)]
    for step, (images, labels) in enumerate(whole):
        assert (images == np.concatenate([shard[step][0] for shard in shards])).all()
        assert (labels == np.concatenate([shard[step][1] for shard in shards])).all()
        if step >= 2:
            assert (images == rest[step - 2][0]).all()


def test_batches_of_files_have_a_static_shape(photographs):
    view = data.views.RandomResizedCrop(16)
    for num_steps in (None, 3):
        batches = data.pipelines.training_batches(photographs, Slots(), view, num_steps=num_steps)
        assert batches.element_spec[0] == tf.TensorSpec([4, 16, 16, 3], tf.uint8)
    batches = data.pipelines.image_batches(photographs, view, 7)
    assert batches.element_spec == tf.TensorSpec([None, 16, 16, 3], tf.uint8)
    assert [len(images) for images in batches] == [7] * 8 + [4]


# The first image, one inside a batch, and the last one, after which nothing shows a gap.
@pytest.mark.parametrize("position", [0, 5, 11])
@pytest.mark.parametrize("contents", [b"", b"no image", None])
def test_file_that_cannot_be_read_is_named(photographs, position, contents):
    path = pathlib.Path(photographs.paths[position])
    path.unlink() if contents is None else path.write_bytes(contents)
    batches = data.pipelines.image_batches(
        photographs, data.views.CenterCrop(16, 20), batch_size=4, indices=range(12)
    )
    read = []
    with pytest.raises(tf.errors.OpError, match=f"{path} cannot be read"):
        read.extend(len(images) for images in batches)
    # What came before arrives whole.
    assert read == [4] * (position // 4)


def test_file_that_cannot_be_read_is_named_in_training(photographs):
    path = pathlib.Path(photographs.paths[6])
    path.write_bytes(path.read_bytes()[:50])
    view = data.views.RandomResizedCrop(16)
    # Slot 2 of step 4 is image 6; the run resumed at step 4, the worker has the second half.
    batches = data.pipelines.training_batches(
        photographs, Slots(), view, first_step=4, shard=(1, 2)
    )
    with pytest.raises(tf.errors.OpError, match=f"{path} cannot be read.*truncated"):
        next(iter(batches))


def test_endless_training_ends_when_every_file_is_gone(photographs):
    batches = iter(
        data.pipelines.training_batches(photographs, Slots(), data.views.RandomResizedCrop(16))
    )
    next(batches)
    for path in photographs.paths:
        pathlib.Path(path).unlink()
    with pytest.raises(tf.errors.OpError, match="cannot be read: there is no such file"):
        collections.deque(batches, maxlen=0)


def test_error_of_the_sampler_is_raised_not_ignored(photographs, digits):
    class Finite(Slots):
        def batch(self, step):
            if step >= 3:
                raise IndexError("no more batches")
            return super().batch(step)

    for images in (photographs, digits):
        view = data.views.Plain() if images.in_memory else data.views.RandomResizedCrop(16)
        batches = iter(data.pipelines.training_batches(images, Finite(), view))
        for _ in range(3):
            next(batches)
        with pytest.raises(tf.errors.OpError, match="no more batches"):
            next(batches)


def test_batches_of_files_are_the_same_under_op_determinism(photographs, op_determinism):
    view = data.views.RandomResizedCrop(16)
    one, other = (training(photographs, view) for _ in range(2))
    assert all((a[0] == b[0]).all() for a, b in zip(one, other, strict=True))


def test_number_of_batches_is_known(photographs, digits):
    for images in (photographs, digits):
        view = data.views.Plain() if images.in_memory else data.views.RandomResizedCrop(16)
        for num_steps, expected in ((None, tf.data.INFINITE_CARDINALITY), (3, 3)):
            batches = data.pipelines.training_batches(images, Slots(), view, num_steps=num_steps)
            assert batches.cardinality() == expected
        batches = data.pipelines.image_batches(images, view, 8, indices=range(17))
        assert batches.cardinality() == 3


def test_views_of_the_other_kind_are_refused(photographs, digits):
    with pytest.raises(ValueError, match="view of files, .* Received: Plain"):
        data.pipelines.image_batches(photographs, data.views.Plain(), 4)
    with pytest.raises(ValueError, match="view of files, .* Received: function, which is none"):
        data.pipelines.image_batches(photographs, lambda path, seed: path, 4)
    with pytest.raises(ValueError, match="view of pixels, .* Received: CenterCrop"):
        training(digits, data.views.CenterCrop(8))


def test_a_file_that_cannot_be_read_is_told_in_one_line(photographs):
    path = pathlib.Path(photographs.paths[5])
    path.write_bytes(path.read_bytes()[:50])
    batches = data.pipelines.image_batches(photographs, data.views.CenterCrop(16, 20), 4)
    with (
        pytest.raises(data.pipelines.UnreadableFileError) as caught,
        data.pipelines.telling_unreadable_files(),
    ):
        collections.deque(batches, maxlen=0)
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be read: ")
    assert "ccpdml check-data" in message
    assert "data.load.skip_corrupt = True" in message
    assert "\n" not in message


def test_other_errors_of_tensorflow_stay_as_they_are():
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible"),
        data.pipelines.telling_unreadable_files(),
    ):
        tf.raw_ops.AddV2(x=tf.zeros(2), y=tf.zeros(3))
