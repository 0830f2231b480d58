import numpy as np
import pytest
import tensorflow as tf

from ccpdml.data import views


def test_random_shift_moves_by_its_seed():
    image = np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1)
    shift = views.RandomShift(max_pixels=1)
    # Seeds mod 3 = (0, 2): the window starts one up and one right of the image.
    moved = shift(tf.constant(image), tf.constant([0, 2]))
    assert moved.numpy()[..., 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    # Seeds mod 3 = (1, 1): in place.
    assert (shift(tf.constant(image), tf.constant([4, 7])).numpy() == image).all()


def test_random_shift_of_a_batch_is_that_of_its_images():
    rng = np.random.default_rng(0)
    images = rng.integers(255, size=(6, 5, 4, 3), dtype=np.uint8)
    seeds = rng.integers(2**31, size=(6, 2), dtype=np.int32)
    shift = views.RandomShift(max_pixels=2)
    batch = shift(tf.constant(images), tf.constant(seeds)).numpy()
    for image, seed, moved in zip(images, seeds, batch, strict=True):
        assert (shift(tf.constant(image), tf.constant(seed)).numpy() == moved).all()


def test_random_shift_reaches_every_offset_equally_often():
    seeds = np.random.default_rng(0).integers(2**31, size=(9000, 2), dtype=np.int32)
    image = np.zeros((5, 5, 1), np.uint8)
    image[2, 2] = 1
    images = np.repeat(image[None], 9000, axis=0)
    share = views.RandomShift(max_pixels=1)(tf.constant(images), tf.constant(seeds)).numpy()
    assert np.abs(share.mean(axis=0)[1:4, 1:4] - 1 / 9).max() < 0.02


def test_plain_view_is_the_image():
    image = tf.ones((2, 3, 1), tf.uint8)
    assert views.Plain()(image, tf.constant([1, 2])) is image


def test_negative_shift_is_refused():
    with pytest.raises(ValueError, match="max_pixels=-1"):
        views.RandomShift(-1)
