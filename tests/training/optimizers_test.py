"""The optimizer of the proxies beside that of the encoder."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import compat
from ccpdml.training import optimizers
from tests.training import tiny

SHAPE = (50, 7)


def trajectory(optimizer, num_steps=20):
    """Values of a weight after each step, the learning rate halved midway, as a callback does."""
    rng = np.random.default_rng(0)
    weight = tf.Variable(rng.normal(size=SHAPE).astype(np.float32))
    followed = tf.keras.optimizers.get(optimizer)
    followed.build([tf.Variable(0.0)])
    linked = optimizers.linked_copy(followed, 1.0)
    own = type(followed).from_config(followed.get_config())
    copies = {}
    for name, each in {"linked": linked, "own": own}.items():
        copy = tf.Variable(weight)
        each.build([copy])
        copies[name] = (each, copy, [])
    for step in range(num_steps):
        gradient = tf.constant(rng.normal(size=SHAPE).astype(np.float32))
        if step == num_steps // 2:
            for each in (followed, own):
                each.learning_rate.assign(0.5 * tf.convert_to_tensor(each.learning_rate))
        for each, copy, values in copies.values():
            each.apply_gradients([(gradient, copy)])
            values.append(copy.numpy())
    return linked, np.stack(copies["linked"][2]), np.stack(copies["own"][2])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta_1": 0.5, "beta_2": 0.99, "epsilon": 1e-3},
        {"weight_decay": 0.1},
        {"clipnorm": 1.0},
    ],
    ids=str,
)
def test_the_fused_adam_makes_the_steps_of_keras(settings):
    linked, fused, of_keras = trajectory(tf.keras.optimizers.Adam(0.05, **settings))
    assert isinstance(linked, optimizers.FusedAdam)
    # 1 - beta_2 is rounded here as float32, there as float64: 1e-5 of a step, of length 0.05.
    np.testing.assert_allclose(fused, of_keras, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: tf.keras.optimizers.Adam(0.05, amsgrad=True),
        lambda: tf.keras.optimizers.AdamW(0.05),
        lambda: tf.keras.optimizers.SGD(0.05, momentum=0.9),
    ],
    ids=["amsgrad", "AdamW", "SGD"],
)
def test_other_optimizers_are_copied_as_they_are(optimizer):
    followed = optimizer()
    linked, copied, own = trajectory(followed)
    assert type(linked) is type(followed)
    np.testing.assert_array_equal(copied, own)


def test_fused_steps_on_two_replicas(two_replicas):
    start = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    results = {}
    for name, strategy in {"one": tf.distribute.get_strategy(), "two": two_replicas}.items():
        with strategy.scope():
            weight = tf.Variable(start)
            optimizer = optimizers.FusedAdam(0.05)
            optimizer.build([weight])

        @tf.function
        def step(strategy=strategy, weight=weight, optimizer=optimizer):
            # The gradient of each replica is its share of the weight's own value.
            count = strategy.num_replicas_in_sync
            strategy.run(lambda: optimizer.apply_gradients([(weight / count, weight)]))

        for _ in range(5):
            step()
        results[name] = tf.convert_to_tensor(weight).numpy()
    np.testing.assert_allclose(results["two"], results["one"], rtol=1e-5, atol=1e-6)
    assert np.abs(results["one"] - start).max() > 0.1


KERAS_3_ONLY = pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 has no such setting")


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        pytest.param(
            {"gradient_accumulation_steps": 4}, "train.classes_per_batch", marks=KERAS_3_ONLY
        ),
        pytest.param({"loss_scale_factor": 8.0}, "not scaled", marks=KERAS_3_ONLY),
        ({"global_clipnorm": 1.0}, "MetricLearner.clip_norm"),
        ({"use_ema": True}, "after the best weights"),
    ],
    ids=str,
)
def test_settings_that_a_learner_does_not_follow_are_refused(settings, cure):
    (name,) = settings
    with pytest.raises(ValueError, match=f"Leave `{name}`.*{cure}.*Received: {name}="):
        tiny.learner(optimizer=tf.keras.optimizers.Adam(0.01, **settings))


def test_an_optimizer_that_scales_the_loss_is_refused():
    scaling = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.Adam())
    with pytest.raises(ValueError, match="does not scale the loss"):
        tiny.learner(optimizer=scaling)


def test_weights_do_not_decay_twice():
    with pytest.raises(ValueError, match="decay twice"):
        tiny.learner(optimizer=tf.keras.optimizers.AdamW(weight_decay=0.01), weight_decay=1e-4)


@pytest.mark.parametrize("decays", [False, True])
def test_proxies_decay_with_an_optimizer_only_if_they_are_to(decays):
    optimizer = tf.keras.optimizers.AdamW(0.5, weight_decay=0.5)
    model = tiny.learner(optimizer=optimizer, decay_proxies=decays)
    proxies = model.criterion.head.proxies
    before = proxies.numpy()
    gradients = [tf.zeros(v.shape) for v in model.encoder_weights + model.criterion_weights]
    model.apply(gradients)
    factor = 1.0 - 0.5 * 0.5 if decays else 1.0
    np.testing.assert_allclose(proxies.numpy(), factor * before, rtol=1e-5)
