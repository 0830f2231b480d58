"""Diagnostics of the geometry against plain loops and figures known beforehand."""

import itertools

import numpy as np
import pytest

from ccpdml.metrics import collapse, geometry


def classes(spread=0.3, dim=6, num_classes=5, images_per_class=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), images_per_class)
    centers = rng.normal(size=(num_classes, dim))
    return centers[labels] + spread * rng.normal(size=(len(labels), dim)), labels


def test_pair_distances_are_those_of_a_loop_over_pairs():
    points, labels = classes(spread=1.0)
    squares = {True: [], False: []}
    for i, j in itertools.combinations(range(len(labels)), 2):
        squares[labels[i] == labels[j]].append(((points[i] - points[j]) ** 2).sum())
    expected = [np.sqrt(np.mean(squares[same])) for same in (True, False)]
    np.testing.assert_allclose(geometry.pair_distances(points + 100.0, labels), expected)


def test_pair_distances_without_such_pairs_are_zero():
    assert geometry.pair_distances(np.eye(3), np.arange(3))[0] == 0.0
    assert geometry.pair_distances(np.eye(3), np.zeros(3))[1] == 0.0


def test_effective_dimensions_count_the_axes_that_embeddings_spread_over():
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    assert geometry.effective_dimensions(corners) == pytest.approx(3.0)
    assert geometry.effective_dimensions(corners * [1.0, 1.0, 0.0]) == pytest.approx(2.0)
    assert geometry.effective_dimensions(np.ones((4, 3))) == 0.0
    assert geometry.effective_dimensions(np.array([[1.0], [2.0]])) == pytest.approx(1.0)


def test_covering_radii_of_points_on_a_line():
    # Mean 2.2: first center 2, farthest point 5 at 3; then 0 at 2; then 1 and 3 at 1.
    points, labels = np.array([[0.0], [1.0], [2.0], [3.0], [5.0]]), np.zeros(5)
    np.testing.assert_allclose(geometry.covering_radii(points, labels, 6), [3, 2, 1, 1, 0, 0])


def test_covering_radii_are_averaged_over_classes():
    points, labels = np.array([[0.0], [9.0], [4.0], [5.0]]), np.array(["b", "a", "b", "a"])
    np.testing.assert_allclose(geometry.covering_radii(points, labels, 2), [4.0, 0.0])


def test_class_distance_is_to_the_nearest_other_class():
    points = np.array([[0.0], [2.0], [5.0], [7.0], [21.0]])  # means 1, 6, 21
    labels = np.array([0, 0, 1, 1, 2])
    assert geometry.class_distance(points, labels) == pytest.approx((5.0 + 5.0 + 15.0) / 3)


def test_a_healthy_geometry_raises_no_alarm():
    points, labels = classes()
    description = geometry.describe(points, labels[:, None], points[::4], labels[::4])
    assert collapse.alarms(description) == {}
    assert len(description["covering_radii"]) == 8


@pytest.mark.parametrize(
    ("damage", "alarm"),
    [
        (lambda points, labels: (points * 1e-4 + 1.0, labels), "nearly the same point"),
        (lambda points, labels: (points * 0.0, labels), "nearly the same point"),
        (lambda points, labels: (points * 0.02 + 1.0, np.arange(40) % 5), "close together"),
        (lambda points, labels: (points[:, :1] * np.ones(6), labels), "along one line"),
        (lambda points, labels: (points, np.arange(len(labels)) % 5), "as far apart"),
    ],
)
def test_a_collapsed_encoder_is_reported(damage, alarm):
    (message,) = collapse.alarms(geometry.spread(*damage(*classes()))).values()
    assert alarm in message
    assert "Likely causes" in message


def of(length, variance, positive, negative):
    return {
        "embedding_length": length,
        "embedding_variance": variance,
        "positive_distance": positive,
        "negative_distance": negative,
        "effective_dimensions": 5.0,
    }


@pytest.mark.parametrize("measured", [(1.0, 3e-4, 0.023, 0.025), (1.0, 1.3e-4, 0.016, 0.0162)])
def test_a_collapse_measured_in_training_is_reported(measured):
    assert "close together" in collapse.alarms(of(*measured))["point"]


@pytest.mark.parametrize(
    "measured",
    [
        (1.0, 5.5e-4, 0.0264, 0.0342),  # close together, but classes stand out
        (0.694, 0.0132, 0.162, 0.164),  # early in a run that went well
        (0.995, 0.354, 0.654, 0.869),
        # Never trained: a small network twice, ResNet-50, EfficientNet, whose vectors are short.
        (0.875, 0.0768, 0.393, 0.395),
        (0.989, 0.0558, 0.303, 0.34),
        (1.0, 0.0137, 0.162, 0.166),
        (1.5e-5, 5.3e-11, 1.027e-5, 1.031e-5),
    ],
)
def test_no_collapse_is_reported_where_there_was_none(measured):
    assert collapse.alarms(of(*measured)) == {}


@pytest.mark.parametrize("apart", [0.0, 1e-6])
def test_collapsed_proxies_are_reported(apart):
    points, labels = classes()
    proxies = np.repeat(points[::8], 3, axis=0)
    proxies = proxies + apart * np.arange(len(proxies))[:, None]
    description = geometry.spread(points, labels, proxies, np.repeat(labels[::8], 3))
    message = collapse.alarms(description)["proxies"]
    assert "proxies of a class have moved onto one point" in message


def test_one_proxy_per_class_is_no_collapse():
    points, labels = classes()
    assert collapse.alarms(geometry.spread(points, labels, points[::8], labels[::8])) == {}
