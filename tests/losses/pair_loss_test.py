"""A pair loss called with embeddings and labels."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses
from ccpdml.ops import masks, normalization

RNG = np.random.default_rng(0)
EMBEDDINGS = tf.constant(RNG.normal(size=(8, 6)), tf.float32)
LABELS = np.repeat(np.arange(4), 2)
REFERENCES = (tf.constant(RNG.normal(size=(5, 6)), tf.float32), np.arange(5))


def test_embeddings_and_labels_are_compared():
    loss = losses.TripletLoss(0.2)
    expected = losses.compare(loss, EMBEDDINGS, LABELS)
    for labels in (LABELS, LABELS[:, None]):
        np.testing.assert_array_equal(loss(EMBEDDINGS, labels), expected)
    np.testing.assert_array_equal(loss(embeddings=EMBEDDINGS, labels=LABELS), expected)
    normalized = normalization.lipschitz_normalize(EMBEDDINGS)
    by_hand = loss(loss.measure(normalized), *masks.pairs(LABELS))
    np.testing.assert_array_equal(by_hand, expected)
    np.testing.assert_array_equal(
        loss(EMBEDDINGS, LABELS, references=REFERENCES[0], reference_labels=REFERENCES[1]),
        losses.compare(loss, EMBEDDINGS, LABELS, *REFERENCES),
    )


def test_gradients_reach_the_embeddings_and_what_the_loss_learns():
    loss = losses.MarginLoss(learn_beta=True, nu=0.1)
    results = []
    for function in (loss, tf.function(loss)):
        with tf.GradientTape() as tape:
            tape.watch(EMBEDDINGS)
            value = function(EMBEDDINGS, LABELS)
        results.append(tape.gradient(value, [EMBEDDINGS, *loss.trainable_variables]))
    assert np.abs(results[0][0]).max() > 0
    for eager, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-4, atol=1e-6)


def test_it_comes_back_from_keras():
    loss = losses.MinedLoss(losses.MarginLoss(), losses.DistanceWeightedMiner())
    again = tf.keras.layers.deserialize(tf.keras.layers.serialize(loss))
    np.testing.assert_allclose(again(EMBEDDINGS, LABELS), loss(EMBEDDINGS, LABELS))


def test_a_copied_batch_costs_what_it_does_in_float64():
    """C2 with `pos_margin = 0`: copies lie at 0 and must not count among those that pay."""
    points = RNG.normal(size=(32, 16)).astype("float32")
    points[1::4] = points[::4]
    points[2::8] = points[::8] + np.float32(1e-5)
    labels = np.repeat(np.arange(8), 4)
    wide = points.astype("float64")
    wide /= np.maximum(1.0, np.linalg.norm(wide, axis=1, keepdims=True))
    measured = np.linalg.norm(wide[:, None] - wide, axis=-1)
    pull = measured[(labels[:, None] == labels) & (measured > 0.0)].mean()
    value = losses.ContrastiveLoss(0.0, 1e-9)(points, labels)
    np.testing.assert_allclose(value, pull, rtol=1e-5)


@pytest.mark.parametrize(
    "of", [losses.BatchPairs, lambda loss: losses.CrossBatchMemory(loss, 16, warmup_steps=0)]
)
def test_a_drawing_miner_learns_the_size_of_the_embeddings(of):
    miner = losses.DistanceWeightedMiner()
    criterion = of(losses.MinedLoss(losses.MarginLoss(), miner))
    criterion.build((None, 6))
    tf.function(criterion)(EMBEDDINGS, LABELS)
    assert miner.learned_size == 6
    assert miner.get_config()["embedding_size"] is None


def test_a_drawing_miner_of_another_size_is_refused():
    mined = losses.MinedLoss(losses.MarginLoss(), losses.DistanceWeightedMiner(128))
    with pytest.raises(ValueError, match="embeddings, 6;.*embedding_size=128"):
        mined(EMBEDDINGS, LABELS)
    with pytest.raises(ValueError, match="embedding_size"):
        losses.DistanceWeightedMiner()(tf.ones([2, 2]), tf.ones([2, 2]), tf.ones([2, 2]))


def test_a_loss_that_names_its_distance_as_it_once_was_is_refused():
    with pytest.raises(TypeError, match=r"measure = staticmethod\(distances.negative_cosine\)"):

        class Old(losses.PairLoss):
            distance = "negative_cosine"


@pytest.mark.parametrize("inner", [losses.ContrastiveLoss(), losses.MultiSimilarityLoss()])
def test_pairs_beyond_fixed_cosines_pay(inner):
    """Two of three positive pairs lack 0.1 and 0.3, one of two negative ones has 0.2 too much."""
    cosines = tf.constant([[0.8, 0.6, 0.95, 0.7, 0.1]])
    positive, negative = tf.constant([[1.0, 1, 1, 0, 0]]), tf.constant([[0.0, 0, 0, 1, 1]])
    is_cosine = isinstance(inner, losses.MultiSimilarityLoss)
    measured = -cosines if is_cosine else tf.sqrt(2.0 - 2.0 * cosines)
    plain = inner(measured, positive, negative)
    for weights, expected in (((1.0, 1.0), 0.4), ((2.0, 0.5), 0.5), ((0.0, 0.0), 0.0)):
        loss = losses.ThresholdConsistentLoss(inner, 0.9, 0.5, *weights)
        added = loss(measured, positive, negative) - plain
        np.testing.assert_allclose(added, expected, atol=1e-6)


def test_fixed_cosines_need_a_loss_of_cosines():
    mined = losses.MinedLoss(losses.TripletLoss(), losses.HardNegativeMiner())
    for refused in (mined, losses.ProxyAnchorLoss(3)):
        with pytest.raises(ValueError, match=f"loss={type(refused).__name__}"):
            losses.ThresholdConsistentLoss(refused)
    inner = losses.ThresholdConsistentLoss(losses.TripletLoss())
    again = tf.keras.layers.deserialize(tf.keras.layers.serialize(inner))
    np.testing.assert_allclose(again(EMBEDDINGS, LABELS), inner(EMBEDDINGS, LABELS))
    assert np.isfinite(losses.MinedLoss(inner, losses.HardNegativeMiner())(EMBEDDINGS, LABELS))
