"""Miners: which pairs stay."""

import numpy as np
import tensorflow as tf

from ccpdml import losses
from ccpdml.ops import distances, masks, normalization


def pairs_of(num_classes=5, per_class=4, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    points = normalization.unit_normalize(rng.normal(size=(num_classes * per_class, dim)))
    labels = np.repeat(np.arange(num_classes), per_class)
    return distances.euclidean(tf.cast(points, tf.float32)), *masks.pairs(labels)


def test_hard_negatives_are_the_closest_and_as_many_as_the_positives():
    measured, positive, negative = pairs_of()
    kept_positive, kept = losses.HardNegativeMiner()(measured, positive, negative)
    np.testing.assert_array_equal(kept_positive, positive)
    for row, mask, allowed in zip(measured.numpy(), kept.numpy(), negative.numpy(), strict=True):
        others = np.flatnonzero(allowed)
        closest = others[np.argsort(row[others])[:3]]
        np.testing.assert_array_equal(np.flatnonzero(mask), np.sort(closest))


def test_hard_negatives_of_an_anchor_without_enough_are_those_it_has():
    measured = tf.constant([[0.1, 0.2, 0.3, 0.4]])
    positive, negative = tf.constant([[1.0, 1.0, 1.0, 0.0]]), tf.constant([[0.0, 0.0, 0.0, 1.0]])
    _, kept = losses.HardNegativeMiner()(measured, positive, negative)
    np.testing.assert_array_equal(kept, [[0, 0, 0, 1]])


def test_distance_weighted_draws_are_negatives_and_at_most_one_per_positive():
    measured, positive, negative = pairs_of()
    miner = losses.DistanceWeightedMiner(embedding_size=16)
    for _ in range(5):
        _, kept = miner(measured, positive, negative)
        kept = kept.numpy()
        assert set(np.unique(kept)) <= {0.0, 1.0}
        assert np.all(kept <= negative.numpy())
        assert np.all((kept.sum(axis=1) >= 1) & (kept.sum(axis=1) <= 3))


def test_distance_weighted_draws_differ_by_step_and_repeat_by_seed():
    runs = []
    for seed in (0, 0, 1):
        miner = losses.DistanceWeightedMiner(embedding_size=16, seed=seed)
        runs.append([miner(*pairs_of())[1].numpy() for _ in range(3)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_distance_weighted_frequencies_are_inverse_to_the_density_of_distances():
    """Two negatives, 0.9 and 1.2 away: drawn as 1/q(0.9) to 1/q(1.2) in 8 dimensions."""
    measured = tf.constant([[0.5, 0.9, 1.2]])
    positive, negative = tf.constant([[1.0, 0.0, 0.0]]), tf.constant([[0.0, 1.0, 1.0]])
    miner = losses.DistanceWeightedMiner(embedding_size=8)
    draws = sum(miner(measured, positive, negative)[1].numpy()[0] for _ in range(2000)) / 2000
    weights = [d**-6 * (1 - d**2 / 4) ** -2.5 for d in (0.9, 1.2)]
    expected = np.array(weights) / sum(weights)
    np.testing.assert_allclose(draws[1:], expected, atol=0.04)


def test_far_negatives_are_drawn_only_where_there_is_no_other():
    measured = tf.constant([[0.5, 0.9, 1.6], [0.5, 1.7, 1.8]])
    positive = tf.constant([[1.0, 0.0, 0.0]] * 2)
    miner = losses.DistanceWeightedMiner(embedding_size=8)
    for _ in range(20):
        kept = miner(measured, positive, 1.0 - positive)[1].numpy()
        np.testing.assert_array_equal(kept[0], [0, 1, 0])
        assert kept[1].sum() == 1


def test_miners_compose_with_losses_and_survive_their_config():
    measured, positive, negative = pairs_of()
    mined = losses.MinedLoss(losses.TripletLoss(0.2), losses.HardNegativeMiner(2))
    again = losses.MinedLoss.from_config(mined.get_config())
    by_hand = losses.TripletLoss(0.2)(
        measured, *losses.HardNegativeMiner(2)(measured, positive, negative)
    )
    np.testing.assert_allclose(again(measured, positive, negative), by_hand)


def test_a_mined_loss_is_the_base_loss_of_ccp():
    mined = losses.MinedLoss(losses.MarginLoss(), losses.DistanceWeightedMiner(6))
    criterion = losses.ChanceConstrainedLoss(mined, num_classes=3, proxies_per_class=2)
    criterion.build((None, 6))
    labels = np.array([0, 0, 1, 1, 2, 2])
    value = tf.function(criterion)(tf.random.stateless_normal((6, 6), (0, 0)), labels)
    assert np.isfinite(value)
