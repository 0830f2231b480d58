import numpy as np
import pytest
import tensorflow as tf

from ccpdml import data


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
