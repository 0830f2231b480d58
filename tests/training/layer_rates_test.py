"""Layer-wise learning rates: how far each weight goes, with any optimizer."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import compat, losses, models, training
from ccpdml.training import layer_rates

DECAY, RATE = 0.5, 1e-2
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(8, 8, 8, 3)).astype("float32")
LABELS = np.repeat(np.arange(4), 2).astype("int32")
OPTIMIZERS = {
    "momentum": lambda rate: tf.keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adam": lambda rate: tf.keras.optimizers.Adam(rate),
    "adamw": lambda rate: tf.keras.optimizers.AdamW(rate, weight_decay=0.1, clipnorm=1.0),
}


def vit(input_shape):
    return models.small_vit(input_shape, patch_size=4, width=8, depth=1, num_heads=2)


def chain(input_shape):
    """Three convolutions; quickly traced for two replicas."""
    images = tf.keras.Input(input_shape)
    features = images
    for _ in range(3):
        features = tf.keras.layers.Conv2D(4, 3, activation="tanh")(features)
    return tf.keras.Model(images, features, name="chain")


def encoder(backbone=vit, layer_decay=DECAY):
    tf.keras.utils.set_random_seed(0)
    pooling = "avg" if backbone is chain else "cls"
    return models.build_encoder(
        (8, 8, 3), backbone, embedding_size=4, pooling=pooling, layer_decay=layer_decay
    )


def learner(made):
    """Compiled, with CCP, decay and clipping."""
    criterion = losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), 4, proxies_per_class=2)
    model = training.MetricLearner(made, criterion, weight_decay=0.01, clip_norm=1.0)
    model.compile(OPTIMIZERS["momentum"](RATE), steps_per_execution=3)
    return model


def trained(strategy=None):
    """The weights after three steps, the prox term in force from the first."""
    with (strategy or tf.distribute.get_strategy()).scope():
        model = learner(encoder(chain))
        model.add_prox()
        model.start_prox([0.9 * tf.convert_to_tensor(w) for w in model.encoder_weights], 0.1)
    data = tf.data.Dataset.from_tensors((IMAGES, LABELS)).unbatch().repeat().batch(8, True)
    model.fit(data, steps_per_epoch=3, verbose=0)
    return values(model.encoder_weights)


def values(weights):
    return [tf.convert_to_tensor(weight).numpy() for weight in weights]


def by_hand():
    """Patches and places, a block, then the last normalization and the head."""
    return [DECAY**2] * 2 + [DECAY] * 16 + [1.0] * 3


def test_rates_are_those_by_hand():
    assert layer_rates.rates(encoder()) == by_hand()
    assert layer_rates.rates(encoder(layer_decay=1.0)) is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_weight_goes_as_under_an_optimizer_of_its_own_rate(name):
    layers = [tf.keras.layers.Dense(3, use_bias=False) for _ in range(3)]
    twins = [tf.keras.layers.Dense(3, use_bias=False) for _ in range(3)]
    for layer, twin in zip(layers, twins, strict=True):
        layer.build((None, 4))
        twin.build((None, 4))
        twin.set_weights(layer.get_weights())
    weights, expected = [[each.kernel for each in group] for group in (layers, twins)]
    rates = [0.25, 0.5, 1.0]
    whole, own = OPTIMIZERS[name](RATE), [OPTIMIZERS[name](RATE * rate) for rate in rates]
    whole.build(weights)
    for _ in range(4):
        gradients = [tf.constant(RNG.normal(size=(4, 3)), tf.float32) for _ in weights]
        layer_rates.apply(whole, gradients, weights, rates)
        for optimizer, gradient, weight in zip(own, gradients, expected, strict=True):
            optimizer.apply_gradients([(gradient, weight)])
    for found, twin in zip(values(weights), values(expected), strict=True):
        np.testing.assert_allclose(found, twin, rtol=1e-5, atol=1e-6)


def test_a_step_of_the_learner_is_shortened_by_layer():
    start, moved = values(encoder().trainable_variables), []
    for layer_decay in (DECAY, 1.0):
        model = learner(encoder(layer_decay=layer_decay))
        _, gradients, _ = model.gradients_of((tf.constant(IMAGES), tf.constant(LABELS)))
        model.apply(gradients)
        moved.append([b - a for a, b in zip(start, values(model.encoder_weights), strict=True)])
    for slow, plain, rate in zip(*moved, by_hand(), strict=True):
        np.testing.assert_allclose(slow, rate * plain, rtol=1e-3, atol=1e-6)


def test_two_replicas_train_as_one(two_replicas):
    for found, expected in zip(trained(two_replicas), trained(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 has no LoRA")
def test_additions_of_lora_have_the_rate_of_their_kernel():
    made = encoder(lambda shape: models.lora(shape, vit, rank=2))
    expected = [DECAY**2] * 2 + [DECAY] * 12 + [1.0]
    assert layer_rates.rates(made) == expected
    before = values(made.weights)
    learner(made).fit(tf.data.Dataset.from_tensors((IMAGES, LABELS)), verbose=0)
    moved = [not np.array_equal(*pair) for pair in zip(before, values(made.weights), strict=True)]
    # In the first step A has no gradient yet, as B is 0, and decays.
    assert sum(moved) == len(expected)
