"""Steps in which proxies learn alone, and the encoder rests."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, training
from tests.training import reinitialization_test, tiny


def learner(steps_per_execution=1):
    """A learner whose encoder has all that could move: weights, statistics, dropout."""
    tf.keras.utils.set_random_seed(0)
    layers = [
        tf.keras.layers.Dense(8, activation="relu"),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.Dropout(0.5),
        tf.keras.layers.Dense(tiny.DIM),
    ]
    encoder = tf.keras.Sequential([tf.keras.Input((tiny.SIZE,)), *layers])
    criterion = losses.ChanceConstrainedLoss(losses.MultiSimilarityLoss(), tiny.NUM_CLASSES, 2)
    model = training.MetricLearner(encoder, criterion, weight_decay=1e-2, clip_norm=1.0)
    model.compile(tf.keras.optimizers.Adam(0.01), steps_per_execution)
    model.add_prox()
    model.add_encoder_rest()
    return model


def fit(model, num_steps):
    model.fit(tiny.dataset(), steps_per_epoch=num_steps, verbose=0, shuffle=False)


def state(model):
    """Copies of what rests, and of the proxies."""
    resting = [*model.encoder.weights, *model.optimizer.variables]
    resting = [np.array(tf.convert_to_tensor(v)) for v in resting]
    # Counters of the run and of random numbers go on.
    resting = [value for value in resting if value.ndim and value.dtype.kind == "f"]
    return resting, np.array(model.criterion.head.proxies)


def step(model):
    return int(tf.convert_to_tensor(model.optimizer.iterations))


def test_encoder_moments_and_statistics_rest_for_the_steps_asked_for():
    model = learner(steps_per_execution=4)
    fit(model, 4)
    model.start_prox([tf.zeros_like(w) for w in model.encoder_weights], 0.1)
    model.rest_encoder(4)
    resting, proxies = state(model)
    fit(model, 4)
    after, moved = state(model)
    assert len(after) == 2 * len(model.encoder_weights) + len(model.encoder.weights)
    for one, other in zip(resting, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (moved != proxies).all()
    assert step(model) == 8
    fit(model, 4)
    assert all((one != other).any() for one, other in zip(resting, state(model)[0], strict=True))


def test_a_resting_step_is_the_gradient_of_the_loss_of_embeddings_as_in_evaluation():
    model = learner()
    model.compile(tf.keras.optimizers.SGD(0.1))
    model.weight_decay, model.clip_norm = 0.0, None
    model.rest_encoder(1)
    images, labels = next(iter(tiny.dataset()))
    proxies = tf.convert_to_tensor(model.criterion.head.proxies)
    with tf.GradientTape() as tape:
        loss = model.criterion(model.encoder(images, training=False), labels)
    (gradient,) = tape.gradient(loss, model.criterion.trainable_variables)
    history = model.fit(tiny.dataset(), steps_per_epoch=1, verbose=0, shuffle=False).history
    np.testing.assert_allclose(
        np.array(model.criterion.head.proxies), proxies - 0.1 * gradient, rtol=1e-5, atol=1e-6
    )
    assert history["loss"] == [pytest.approx(float(loss), rel=1e-5)]


def test_two_replicas_rest_as_one(two_replicas):
    states = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            model = tiny.learner(prox_weight=0.1)
            model.add_encoder_rest()
        fit(model, 5)
        model.rest_encoder(3)
        fit(model, 5)
        assert step(model) == 10
        states.append(tiny.weights(model))
    np.testing.assert_allclose(*states, rtol=1e-5, atol=1e-5)


def test_each_instance_after_the_first_begins_with_proxies_alone():
    model = tiny.learner(steps_per_execution=1)
    outer = training.ProxyReinitialization(
        reinitialization_test.pool,
        patience=None,
        period=1,
        placing=training.Placing(proxies_only_steps=3),
    )
    script = reinitialization_test.Scores([0.5, 0.5])
    moves = Moves()
    model.fit(
        tiny.dataset(),
        steps_per_epoch=5,
        epochs=2,
        callbacks=[script, outer, moves],
        verbose=0,
        shuffle=False,
    )
    assert moves.seen == [True] * 5 + [False] * 3 + [True] * 2


class Moves(tf.keras.callbacks.Callback):
    """Notes in which steps the encoder moved."""

    def __init__(self):
        super().__init__()
        self.seen, self.weights = [], None

    def on_train_begin(self, logs=None):
        self.weights = self.model.encoder.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        weights = self.model.encoder.get_weights()
        pairs = zip(weights, self.weights, strict=True)
        self.seen.append(any((one != other).any() for one, other in pairs))
        self.weights = weights
