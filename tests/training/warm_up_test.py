"""Warm-up of the head, mixed precision and XLA: switches of a run."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, models, runs, training


def small_learner(criterion=None, **arguments):
    tf.keras.utils.set_random_seed(0)
    encoder = models.build_encoder(
        (8, 8, 3), lambda shape: models.small_cnn(shape, filters=(4, 4)), embedding_size=5
    )
    learner = training.MetricLearner(encoder, criterion or losses.ProxyNCALoss(4), **arguments)
    learner.compile(tf.keras.optimizers.Adam(1e-2), steps_per_execution=1)
    return learner


def batches():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 8, 8, 3)).astype("float32")
    labels = np.repeat(np.arange(4), 2).astype("int32")
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def trainable(learner):
    head = learner.encoder.get_layer("embedding").trainable_variables
    backbone = [v for v in learner.encoder_weights if all(v is not h for h in head)]
    return [[v.numpy() for v in group] for group in (backbone, head, learner.criterion_weights)]


def moved(before, after):
    return [
        any(np.any(a != b) for a, b in zip(*pair, strict=True))
        for pair in zip(before, after, strict=True)
    ]


@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_backbone_rests_while_head_and_proxies_learn(weight_decay):
    learner = small_learner(warm_up_steps=3, weight_decay=weight_decay)
    before = trainable(learner)
    learner.fit(batches(), steps_per_epoch=3, verbose=0)
    warm = trainable(learner)
    assert moved(before, warm) == [False, True, True]
    learner.fit(batches(), steps_per_epoch=1, verbose=0)
    assert moved(warm, trainable(learner)) == [True, True, True]


def test_warm_up_needs_an_embedding_head():
    inputs = tf.keras.Input((4,))
    encoder = tf.keras.Model(inputs, tf.keras.layers.Dense(3)(inputs))
    learner = training.MetricLearner(encoder, losses.ProxyNCALoss(4), warm_up_steps=3)
    with pytest.raises(ValueError, match="EmbeddingHead"):
        learner.compile("adam")


@pytest.mark.parametrize(
    "make",
    [
        lambda: losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), 4, 2),
        lambda: losses.ChanceConstrainedLoss(losses.MultiSimilarityLoss(), 4, 2),
        lambda: losses.ProxyAnchorLoss(4),
        lambda: losses.SoftTripleLoss(4),
    ],
    ids=["C2", "MS", "ProxyAnchor", "SoftTriple"],
)
def test_compiled_criterion_trains_like_the_other(make):
    results = []
    for jit_compile in (False, True):
        learner = small_learner(make(), jit_compile=jit_compile)
        learner.fit(batches(), steps_per_epoch=2, verbose=0)
        results.append(learner.get_weights())
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=2e-3, atol=2e-4)


def test_a_criterion_with_a_memory_is_not_compiled():
    with pytest.raises(ValueError, match="Received: CrossBatchMemory"):
        small_learner(losses.CrossBatchMemory(losses.ContrastiveLoss()), jit_compile=True)


def test_bfloat16_ends_before_the_embedding():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    learner = small_learner(losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), 4, 2))
    backbone = next(layer for layer in learner.encoder.layers if layer.name == "small_cnn")
    images, labels = next(iter(batches()))
    assert backbone(images).dtype == tf.bfloat16
    assert learner(images).dtype == tf.float32
    assert learner.criterion(learner(images), labels).dtype == tf.float32
    assert all(v.dtype == "float32" for v in learner.weights)
    history = learner.fit(batches(), steps_per_epoch=2, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()


def test_float16_is_refused_and_told_why():
    with pytest.raises(ValueError, match="underflow"):
        runs.Model(print, print, print, precision="mixed_float16")
