"""Distances of equal and of close points, and their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml.ops import distances

RNG = np.random.default_rng(0)


def unit(*shape):
    points = RNG.normal(size=shape)
    return (points / np.linalg.norm(points, axis=-1, keepdims=True)).astype("float32")


def compiled(function):
    return tf.function(function, jit_compile=True)


@pytest.mark.parametrize("wrap", [lambda f: f, compiled], ids=["eager", "xla"])
def test_equal_points_are_at_0_and_close_ones_where_they_are(wrap):
    points = unit(40, 128)
    points[1::2] = points[::2]
    points[3::4] += 1e-4 * unit(10, 128)
    wide = points.astype("float64")
    expected = np.linalg.norm(wide[:, None] - wide, axis=-1)
    for arguments in [(points,), (points, points[:30])]:
        measured = wrap(distances.euclidean)(*arguments).numpy()
        target = expected[:, : measured.shape[1]]
        assert (measured[target == 0.0] == 0.0).all()
        np.testing.assert_allclose(measured, target, rtol=1e-3)


def test_gradients_of_close_points_are_those_of_float64():
    points, others = unit(12, 16), unit(9, 16)
    points[4:8] = points[:4] + 1e-4 * unit(4, 16)
    others[:4] = points[:4] + 1e-5 * unit(4, 16)
    weights = RNG.uniform(size=(12, 9))
    gradients = {}
    for dtype in (tf.float32, tf.float64):
        sides = [tf.cast(points, dtype), tf.cast(others, dtype)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sides)
            between = tf.reduce_sum(tf.cast(weights, dtype) * distances.euclidean(*sides))
            within = tf.reduce_sum(
                tf.cast(weights[:, :9], dtype) * distances.euclidean(sides[0])[:, :9]
            )
        gradients[dtype] = [*tape.gradient(between, sides), tape.gradient(within, sides[0])]
    apart = np.asarray(points, "float64")[:, None] - np.asarray(others, "float64")
    steps = weights[..., None] * apart / np.linalg.norm(apart, axis=-1, keepdims=True)
    np.testing.assert_allclose(gradients[tf.float64][0], steps.sum(axis=1), rtol=1e-6)
    for narrow, wide in zip(gradients[tf.float32], gradients[tf.float64], strict=True):
        np.testing.assert_allclose(narrow, wide, rtol=1e-3, atol=1e-4)


def test_leading_axes_may_differ():
    points, others = unit(1, 5, 4), unit(3, 2, 4)
    others[1, 0] = points[0, 3]
    measured = distances.euclidean(points, others)
    np.testing.assert_allclose(
        measured, np.linalg.norm(points[:, :, None] - others[:, None], axis=-1), atol=1e-6
    )
    assert measured[1, 3, 0] == 0.0
