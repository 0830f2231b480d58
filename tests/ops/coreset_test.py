"""Radii of core-sets, against every subset of centers."""

import itertools

import numpy as np

from ccpdml.ops import coreset

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
