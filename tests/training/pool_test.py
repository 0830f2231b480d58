"""Pools: drawn per class, embedded without waste."""

import numpy as np
import pytest

from ccpdml import data, losses, training
from ccpdml.data import samplers, views
from tests.training import tiny


@pytest.fixture
def image_set():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), [2, 5, 9, 3]).astype(np.int32)
    images = rng.integers(0, 255, size=(len(labels), 4, 4, 1), dtype=np.uint8)
    return data.ImageSet(images=images, labels=labels, class_names=tuple("abcd"))


class Counting(training.MetricLearner):
    """Counts the images it embeds, and embeds an image as its pixels."""

    num_embedded = 0

    def predict_raw(self, x, **kwargs):
        batches = [np.asarray(batch).reshape(len(batch), -1) for batch in x]
        self.num_embedded += sum(map(len, batches))
        return np.concatenate(batches).astype(np.float32)


@pytest.fixture
def learner():
    return Counting(tiny.encoder(), losses.TripletLoss())


def test_every_image_is_embedded_once_even_if_drawn_twice(image_set, learner):
    pool = training.PoolDraw(learner, image_set, pool_size=6)()
    assert pool.shape == (4, 6, 16)
    # 2 + 5 + 6 + 3: the small classes are drawn whole, and again to fill their row.
    assert learner.num_embedded == 16


def test_the_pool_holds_images_of_the_right_class_in_the_order_drawn(image_set, learner):
    pool = training.PoolDraw(learner, image_set, pool_size=6, seed=3)()
    drawn = samplers.pool_indices(image_set.labels, 6, 3, 0)
    expected = image_set.images[drawn].reshape(4, 6, 16)
    np.testing.assert_array_equal(pool, expected)


def test_an_augmented_pool_embeds_every_draw(image_set, learner):
    draw = training.PoolDraw(
        learner, image_set, pool_size=6, augmented=True, training_view=views.RandomShift(1)
    )
    draw()
    assert learner.num_embedded == 24


def test_draws_differ_and_a_restored_count_repeats_the_next_one(image_set, learner):
    draw = training.PoolDraw(learner, image_set, pool_size=4)
    first, state = draw(), draw.get_state()
    second = draw()
    assert not np.array_equal(first, second)
    again = training.PoolDraw(learner, image_set, pool_size=4)
    again.set_state(state)
    np.testing.assert_array_equal(again(), second)


def test_impossible_pools_are_refused(image_set, learner):
    with pytest.raises(ValueError, match="pool_size"):
        training.PoolDraw(learner, image_set, pool_size=0)
    with pytest.raises(ValueError, match="training_view"):
        training.PoolDraw(learner, image_set, augmented=True)
