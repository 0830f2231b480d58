"""Core-sets: what is picked, and the radii of centers, against every subset."""

import itertools

import numpy as np
import pytest

from ccpdml.ops import coreset, normalization

RNG = np.random.default_rng(0)


def measured(points, centers):
    return np.linalg.norm(points[:, None] - centers[None], axis=-1)


def test_radii_of_the_best_centers_by_hand():
    # Points 0, 4, 10 on a line. The center 4 reaches 6 far, with 9 beside it 4, with 1 too 1.
    points = np.array([[[0.0], [4.0], [10.0]]], np.float32)
    centers = np.array([[[1.0], [4.0], [9.0]]], np.float32)
    np.testing.assert_allclose(coreset.covering_radii(points, centers), [[6, 4, 1]], atol=1e-3)


def test_radii_lie_between_the_best_subset_and_all_centers():
    points = RNG.normal(size=(5, 12, 3)).astype(np.float32)
    centers = RNG.normal(size=(5, 4, 3)).astype(np.float32)
    radii = np.asarray(coreset.covering_radii(points, centers))
    assert radii.shape == (5, 4)
    assert (np.diff(radii, axis=1) <= 0).all()
    for row in range(5):
        distances = measured(points[row], centers[row])
        for count in range(1, 5):
            subsets = itertools.combinations(range(4), count)
            best = min(distances[:, list(subset)].min(axis=1).max() for subset in subsets)
            assert radii[row, count - 1] >= best - 1e-5
            if count in (1, 4):
                np.testing.assert_allclose(radii[row, count - 1], best, rtol=1e-5)


def test_the_radius_of_each_center_is_over_the_points_nearest_to_it():
    points = RNG.normal(size=(1, 12, 3)).astype(np.float32)
    far = np.full((1, 1, 3), 100.0, np.float32)
    centers = np.concatenate([RNG.normal(size=(1, 3, 3)).astype(np.float32), far], axis=1)
    distances = measured(points[0], centers[0])
    owners = distances.argmin(axis=1)
    expected = [distances[owners == i, i].max(initial=0.0) for i in range(4)]
    assert expected[3] == 0.0  # nobody's nearest
    np.testing.assert_allclose(
        coreset.radius_of_each(points, centers)[0], expected, rtol=1e-4, atol=1e-5
    )


def way(pool, seeds, picks):
    """Sum over the pool of the distance to the nearest seed or pick."""
    return measured(pool, np.concatenate([seeds, pool[list(picks)]])).min(axis=1).sum()


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_medoids_shorten_the_ways_nearly_as_the_best_subset_does(num_seeds):
    pool = RNG.normal(size=(6, 9, 2)).astype(np.float32)
    seeds = 3.0 + RNG.normal(size=(6, num_seeds, 2)).astype(np.float32)
    picks = np.asarray(coreset.k_medoids(pool, seeds, 3))
    assert picks.dtype == np.int32
    for row in range(6):
        assert len(set(picks[row])) == 3
        before = way(pool[row], seeds[row], [])
        best = min(way(pool[row], seeds[row], s) for s in itertools.combinations(range(9), 3))
        shortened = before - way(pool[row], seeds[row], picks[row])
        assert shortened >= (1 - 1 / np.e) * (before - best)
        # One at a time, each pick is the best one.
        for count in range(3):
            ways = [way(pool[row], seeds[row], [*picks[row, :count], j]) for j in range(9)]
            assert ways[picks[row, count]] == pytest.approx(min(ways), rel=1e-4)


def test_without_seeds_the_first_medoid_is_that_of_the_class():
    pool = RNG.normal(size=(4, 7, 3)).astype(np.float32)
    picks = np.asarray(coreset.k_medoids(pool, np.zeros([4, 0, 3], np.float32), 1))
    for row in range(4):
        assert picks[row, 0] == measured(pool[row], pool[row]).sum(axis=0).argmin()


def test_an_outlier_draws_k_center_but_not_medoids():
    cluster = 0.1 * RNG.normal(size=(1, 8, 2)).astype(np.float32)
    pool = np.concatenate([cluster, cluster + 2.0, [[[9.0, -9.0]]]], axis=1).astype(np.float32)
    seeds = np.zeros([1, 1, 2], np.float32)
    assert 16 in np.asarray(coreset.farthest_first(pool, seeds, 2))
    assert 8 <= np.asarray(coreset.k_medoids(pool, seeds, 1))[0, 0] < 16


def test_random_picks_depend_on_seed_and_instance_alone():
    pool, seeds = RNG.normal(size=(50, 6, 2)).astype(np.float32), np.zeros([50, 1, 2], np.float32)

    def draw(points=pool, **which):
        return np.asarray(coreset.random_picks(points, seeds, 4, **which))

    picks = draw(instance=1, seed=2)
    assert (np.diff(np.sort(picks, axis=1)) > 0).all()
    assert set(picks.ravel()) == set(range(6))
    np.testing.assert_array_equal(picks, draw(pool + 1.0, instance=1, seed=2))
    assert (picks != draw(instance=2, seed=2)).any()
    assert (picks != draw(instance=1, seed=3)).any()


def test_without_seeds_the_first_pick_is_nearest_to_the_mean_and_lengths_do_not_matter():
    points = RNG.normal(size=(75, 12, 16)) + 2.0 * RNG.normal(size=(75, 1, 16))
    none = np.zeros((75, 0, 16), np.float32)

    def picks(lengths):
        unit = normalization.unit_normalize((lengths * points).astype(np.float32))
        return np.asarray(coreset.farthest_first(unit, none, 4)), np.asarray(unit, np.float64)

    expected, unit = picks(1.0)
    first = np.linalg.norm(unit - unit.mean(axis=1, keepdims=True), axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(expected[:, 0], first)
    for _ in range(5):
        lengths = RNG.uniform(0.99, 1.01, size=(75, 12, 1))
        np.testing.assert_array_equal(picks(lengths)[0], expected)


def test_rounding_breaks_no_tie():
    """The corners of a simplex: all are equally far from the mean and from each other."""
    corners = np.eye(6)[None] + np.zeros((200, 1, 1))
    turns = np.linalg.qr(RNG.normal(size=(200, 6, 6)))[0]
    pool = (corners @ turns).astype(np.float32)
    picks = coreset.farthest_first(pool, np.zeros((200, 0, 6), np.float32), 6)
    np.testing.assert_array_equal(picks, np.tile(np.arange(6), (200, 1)))
