"""Normalization of vectors of any length."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import layers
from ccpdml.ops import normalization

LENGTHS = [5e37, 5e19, 5e9, 5.0, 5e-9, 5e-20, 5e-30]


def test_vectors_of_any_length_get_length_1():
    x = tf.constant([[0.6, 0.8]]) * tf.constant(LENGTHS)[:, None]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = normalization.unit_normalize(x)
        along = y[:, 0]
    np.testing.assert_allclose(y, [[0.6, 0.8]] * len(LENGTHS), rtol=1e-6)
    # u - x̂ (x̂·u) with u = (1, 0), over the length, which counts as 1e-6 at least.
    expected = np.array([[0.64, -0.48]]) / np.maximum(LENGTHS, 1e-6)[:, None]
    np.testing.assert_allclose(tape.gradient(along, x), expected, rtol=1e-5, atol=1e-38)


def test_a_zero_vector_stays_zero_and_what_is_not_a_number_visible():
    y = normalization.unit_normalize([[0.0, 0.0], [np.nan, 1.0], [3.0, 4.0]])
    np.testing.assert_allclose(y, [[0.0, 0.0], [np.nan, np.nan], [0.6, 0.8]])


@pytest.mark.parametrize("cls", [layers.UnitNormalization, layers.LipschitzNormalization])
def test_the_form_that_is_saved_agrees(cls):
    layer, inputs = cls(), tf.keras.Input((2,))
    model = tf.keras.Model(inputs, layer.built_in(inputs))
    x = np.array([[0.6, 0.8]], "float32") * np.array([*LENGTHS, 0.0], "float32")[:, None]
    np.testing.assert_allclose(model(x), layer(x), rtol=1e-5)
