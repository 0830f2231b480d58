"""Pooling of feature maps and of tokens, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import layers, models

TOKENS = np.array([[[9, 8], [7, 7], [1, 2], [3, 6]]], "float32")


@pytest.mark.parametrize(
    ("kind", "num_prefix_tokens", "pooled"),
    [
        ("cls", 1, [9, 8]),
        ("patches", 2, [2, 4]),
        ("patches", 0, [5, 5.75]),
        ("cls_and_patches", 2, [9, 8, 2, 4]),
        ("avg", 2, [5, 5.75]),
        ("max", 1, [9, 8]),
        ("both", 1, [14, 13.75]),
    ],
)
def test_tokens_are_pooled(kind, num_prefix_tokens, pooled):
    layer = layers.GlobalPooling(kind, num_prefix_tokens)
    np.testing.assert_allclose(layer(TOKENS), [pooled])
    inputs = tf.keras.Input(TOKENS.shape[1:])
    model = tf.keras.Model(inputs, layer.built_in(inputs))
    np.testing.assert_allclose(model(TOKENS), [pooled])
    assert layer.compute_output_shape(TOKENS.shape) == (1, len(pooled))


@pytest.mark.parametrize(
    ("kind", "num_prefix_tokens", "shape", "message"),
    [
        ("cls", 1, (2, 4, 4, 3), "pooled by one of"),
        ("cls_and_patches", 0, (2, 4, 3), "the network has none"),
        ("patches", 4, (2, 4, 3), "more tokens than the 4"),
        ("avg", 1, (2, 3), "feature map .* or tokens"),
    ],
)
def test_what_cannot_be_pooled_is_refused(kind, num_prefix_tokens, shape, message):
    with pytest.raises(ValueError, match=message):
        layers.GlobalPooling(kind, num_prefix_tokens)(np.zeros(shape, "float32"))


def test_generalized_mean_by_hand():
    features = np.array([[[[1.0, -5]], [[2.0, 1]], [[3.0, 1]]]], "float32")
    layer = layers.GeneralizedMeanPooling(3.0)
    np.testing.assert_allclose(layer(features), [[12 ** (1 / 3), (2 / 3) ** (1 / 3)]], rtol=1e-6)
    layer.exponent.assign(1.0)
    np.testing.assert_allclose(layer(features), [[2, 2 / 3]], rtol=1e-6)
    with tf.GradientTape() as tape:
        first = layer(features)[0, 0]
    # d/dp of (mean x^p)^(1/p) at p = 1: mean(x log x) - m log m of m = 2.
    expected = np.mean([0, 2 * np.log(2), 3 * np.log(3)]) - 2 * np.log(2)
    np.testing.assert_allclose(tape.gradient(first, layer.exponent), expected, rtol=1e-5)


def sum_pooling(prototypes, **kwargs):
    prototypes = np.array(prototypes, "float32")
    layer = layers.GeneralizedSumPooling(len(prototypes), **kwargs)
    layer.build((None, None, prototypes.shape[1]))
    layer.prototypes.assign(prototypes)
    return layer


def test_generalized_sum_by_hand():
    # Costs 0 and 2 and half of the mass: weights of 3/4 and 1/4, since sigmoid(log 3) = 3/4.
    layer = sum_pooling([[5, 0]], share=0.5, sharpness=np.log(3.0))
    features = np.array([[[2, 0], [0, 1]]], "float32")
    np.testing.assert_allclose(layer.weights_of_places(features), [[0.75, 0.25]], rtol=1e-5)
    np.testing.assert_allclose(layer(features), [[1.5, 0.25]], rtol=1e-5)
    np.testing.assert_allclose(layer(features[:, :, None]), [[1.5, 0.25]], rtol=1e-5)


def test_generalized_sum_of_equal_places_is_their_average():
    layer = layers.GeneralizedSumPooling(3)
    pooled = layer(np.full((2, 4, 5), 0.5, "float32"))
    np.testing.assert_allclose(pooled, np.full((2, 5), 0.5), rtol=1e-5)


def test_generalized_sum_solves_the_transport_problem():
    rng = np.random.default_rng(0)
    features, prototypes = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    share, sharpness = 0.3, 5.0
    layer = sum_pooling(prototypes, share=share, sharpness=sharpness)
    lengths = np.linalg.norm(features, axis=1)[:, None], np.linalg.norm(prototypes, axis=1)
    kernel = np.exp(sharpness * (2 * (features @ prototypes.T) / lengths[0] / lengths[1] - 2))
    moved = share  # The multiplier of the mass that is moved, by alternating scaling.
    for _ in range(2000):
        kept = 1 / 9 / (1 + moved * kernel.sum(1))
        moved *= share / (moved * kept @ kernel.sum(1))
    weights = layer.weights_of_places(features[None].astype("float32"))
    np.testing.assert_allclose(weights, [1 - 9 * kept], rtol=1e-4)
    pooled = ((1 / 9 - kept) / share) @ features
    np.testing.assert_allclose(layer(features[None]), [pooled], rtol=1e-4)


def test_gradients_of_the_generalized_sum_are_those_of_the_solution():
    rng = np.random.default_rng(1)
    features = tf.constant(rng.normal(size=(1, 6, 3)).astype("float32"))
    layer = sum_pooling(rng.normal(size=(2, 3)), share=0.4)
    start = tf.convert_to_tensor(layer.prototypes)

    def loss(points, prototypes):
        layer.prototypes.assign(prototypes)
        return tf.reduce_sum(layer(points) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(features)
        value = loss(features, start)
    of_features, of_prototypes = tape.gradient(value, [features, layer.prototypes])
    step = np.zeros(features.shape, "float32")
    step[0, 1, 2] = 1e-2
    slope = (loss(features + step, start) - loss(features - step, start)) / 2e-2
    np.testing.assert_allclose(of_features[0, 1, 2], slope, rtol=1e-2)
    step = np.zeros(start.shape, "float32")
    step[1, 0] = 1e-2
    slope = (loss(features, start + step) - loss(features, start - step)) / 2e-2
    np.testing.assert_allclose(of_prototypes[1, 0], slope, rtol=1e-2)


@pytest.mark.parametrize("pooling", [*layers.GlobalPooling.KINDS, layers.GeneralizedMeanPooling])
def test_an_encoder_of_tokens_needs_nothing_of_ours_to_be_loaded(pooling):
    def network(shape):
        return models.small_vit(shape, patch_size=4, width=8, depth=1, num_heads=2)

    encoder = models.build_encoder((8, 8, 3), network, 5, pooling)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    alone = models.standalone(encoder, layers.UnitNormalization())
    assert "ccpdml" not in alone.to_json()
    expected = layers.UnitNormalization()(encoder(images))
    np.testing.assert_allclose(alone(images), expected, atol=1e-5)


def test_weights_of_a_pooling_are_part_of_the_encoder():
    def network(shape):
        return models.small_cnn(shape, filters=(4,))

    encoder = models.build_encoder((8, 8, 3), network, 5, layers.GeneralizedSumPooling)
    assert any(v.shape == (64, 4) for v in encoder.trainable_variables)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(models.standalone(encoder)(images), encoder(images), atol=1e-5)


@pytest.mark.parametrize("arguments", [{"patch_size": 3}, {"width": 10, "num_heads": 4}])
def test_a_transformer_that_cannot_be_built_is_refused(arguments):
    with pytest.raises(ValueError, match="must be multiples"):
        models.small_vit((8, 8, 3), **arguments)
