"""Thresholds of distances: rates by hand and by brute force, and their spread over classes."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as reference

from ccpdml import metrics
from ccpdml.metrics import class_rates, pairs, recognition

RNG = np.random.default_rng(0)
SIZES = np.array([9, 1, 5, 4, 7, 2, 12, 3])
LABELS = RNG.permutation(np.repeat(np.arange(8), SIZES))
POINTS = (RNG.normal(size=(8, 5))[LABELS] + 0.35 * RNG.normal(size=(43, 5))).astype(np.float32)
LEAST_MEMORY = 32 * 43 * 3  # Three rows in a block: classes are cut.

each_memory = pytest.mark.parametrize("memory", [1, LEAST_MEMORY, 32 * 43 * 20, 2**29])


def all_pairs(points, labels):
    """Distances of all pairs, and whether they are of one class, by brute force."""
    i, j = np.array(list(itertools.combinations(range(len(labels)), 2))).T
    difference = points[i].astype(np.float64) - points[j]
    return np.sqrt((difference**2).sum(axis=1)), labels[i] == labels[j]


DISTANCES, SAME = all_pairs(POINTS, LABELS)


def test_rates_by_hand():
    # Pairs of one class: 1 (a), 4 (b); of two: 10, 14, 9, 13.
    curve = metrics.curve([[0.0], [1.0], [10.0], [14.0]], ["a", "a", "b", "b"])
    assert (curve.num_positive, curve.num_negative) == (2, 4)
    np.testing.assert_allclose(curve.thresholds, [2.9, 7.0, 9.5, 11.6, 13.5, 14], rtol=0.01)
    assert curve.true_matches.tolist() == [1, 2, 2, 2, 2, 2]
    assert curve.false_matches.tolist() == [0, 0, 1, 2, 3, 4]
    assert curve.thresholds[curve.at_false_match_rate(0.25)] == pytest.approx(9.5, rel=0.01)
    assert curve.thresholds[curve.at_precision(0.6)] == pytest.approx(9.5, rel=0.01)
    assert curve.thresholds[curve.at_best_f1()] == pytest.approx(7.0, rel=0.01)
    # Pairs of one class: 1, 10; of two: 10, 20, 9, 19.
    rates = metrics.fnmr_at_fmr([[0.0], [1.0], [10.0], [20.0]], [0, 0, 1, 1], [0.25, 0.6])
    assert rates.tolist() == [0.5, 0.0]


@each_memory
def test_a_curve_is_that_of_all_pairs(memory):
    curve = metrics.curve(POINTS, LABELS, memory)
    assert (curve.num_positive, curve.num_negative) == (SAME.sum(), (~SAME).sum())
    within = curve.thresholds[:, None] >= DISTANCES
    np.testing.assert_array_equal(curve.true_matches, (within & SAME).sum(axis=1))
    np.testing.assert_array_equal(curve.false_matches, (within & ~SAME).sum(axis=1))
    fmr, tmr, _ = reference.roc_curve(SAME, -DISTANCES, drop_intermediate=False)
    found = np.interp(curve.false_match_rates, fmr, tmr)
    assert np.all(1 - curve.false_non_match_rates <= found + 1e-12)
    assert set(curve.false_match_rates) <= set(fmr)


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.05, 0.5])
def test_a_wanted_rate_is_the_highest_that_is_not_above(rate):
    curve = metrics.curve(POINTS, LABELS)
    threshold = curve.thresholds[curve.at_false_match_rate(rate)]
    negative = np.sort(DISTANCES[~SAME])
    k = int(rate * len(negative))
    # Distances that differ by less are not told apart.
    assert threshold < negative[k] <= (1 + 2**-13) * negative[negative > threshold][0]
    assert metrics.fnmr_at_fmr(POINTS, LABELS, [rate])[0] == (DISTANCES[SAME] > threshold).mean()


def test_a_wanted_precision_and_the_best_f1_are_those_of_all_thresholds():
    curve = metrics.curve(POINTS, LABELS)
    precision, recall, _ = reference.precision_recall_curve(SAME, -DISTANCES)
    f1 = 2 * precision * recall / (precision + recall + 1e-12)
    assert curve.f1.max() == pytest.approx(f1.max())
    within = curve.thresholds[curve.at_precision(0.8)] >= DISTANCES
    assert SAME[within].mean() >= 0.8
    assert SAME[within].sum() / SAME.sum() == recall[precision >= 0.8].max()


def test_rates_that_pairs_cannot_tell_are_refused():
    curve = metrics.curve(POINTS, LABELS)
    with pytest.raises(ValueError, match=r"cannot say .* a rate of at least .* rate=1e-06"):
        curve.at_false_match_rate(1e-6)
    with pytest.raises(ValueError, match=r"above 0 and below 1. Received: rate=1"):
        curve.at_false_match_rate(1)
    with pytest.raises(ValueError, match=r"above 0 and at most 1. Received: precision=1.5"):
        curve.at_precision(1.5)
    with pytest.raises(ValueError, match="two images or more"):
        metrics.curve(POINTS[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="No threshold does what is wanted"):
        metrics.curve(np.ones([4, 2]), [0, 0, 1, 1]).at_false_match_rate(0.5)


@each_memory
def test_matches_of_classes_are_those_of_all_pairs(memory):
    classes = pairs.by_class(POINTS, LABELS, memory)
    assert all(32 * b.squared.size <= max(memory, 32 * 43) for b in pairs.blocks(classes))
    for threshold, counts in zip((0.9, 1.7), class_rates.counts(classes, (0.9, 1.7)), strict=True):
        matches = np.zeros((8, 8))
        for i, j in itertools.combinations(range(len(LABELS)), 2):
            near = np.linalg.norm(POINTS[i] - POINTS[j]) <= threshold
            matches[LABELS[i], LABELS[j]] += near
            matches[LABELS[j], LABELS[i]] += near
        upper = np.triu(matches, 1)
        np.testing.assert_array_equal(counts.within, matches.diagonal() / 2)
        np.testing.assert_array_equal(counts.across, (upper + upper.T).sum(axis=1))
        assert counts.squared == (upper**2).sum()
        assert counts.with_sizes == (upper * np.outer(SIZES, SIZES)).sum()
        rates = class_rates.rates(counts)
        within = threshold >= DISTANCES
        expected = {
            "false_match_rate": within[~SAME].mean(),
            "false_non_match_rate": 1 - within[SAME].mean(),
            "precision": reference.precision_score(SAME, within),
            "f1": reference.f1_score(SAME, within),
        }
        for name, rate in rates.items():
            assert rate.value == pytest.approx(expected[name])
            assert 0 <= rate.low <= rate.value <= rate.high <= 1


def draw(rng, num_classes, kind):
    """Classes of 3 images each; in one kind some scatter more, and some lie closer to others."""
    centers = rng.normal(size=(num_classes, 6))
    spread = np.full(num_classes, 0.4)
    if kind == "unlike":
        centers *= np.exp(0.4 * rng.normal(size=(num_classes, 1)))
        spread = np.exp(-1 + 0.4 * rng.normal(size=num_classes))
    labels = np.repeat(np.arange(num_classes), 3)
    return centers[labels] + spread[labels, None] * rng.normal(size=(len(labels), 6)), labels


@pytest.mark.parametrize("kind", ["alike", "unlike"])
@pytest.mark.parametrize(("wanted", "num_new"), [(0.01, 40), (0.05, 80)])
def test_an_interval_covers_what_new_classes_show(kind, wanted, num_new):
    rng, num_draws = np.random.default_rng(11), 100
    hits = dict.fromkeys(class_rates.NAMES, 0)
    for _ in range(num_draws):
        points, labels = draw(rng, 40, kind)
        curve = metrics.curve(points, labels)
        threshold = [curve.thresholds[curve.at_false_match_rate(wanted)]]
        (counts,) = class_rates.counts(pairs.by_class(points, labels), threshold)
        (new,) = class_rates.counts(pairs.by_class(*draw(rng, num_new, kind)), threshold)
        measured = class_rates.rates(new)
        for name, rate in class_rates.rates(counts, num_new).items():
            hits[name] += measured[name].value in rate
    # Of 100 draws with 95 % each, fewer than 90 are seen one time in 40.
    assert min(hits.values()) >= 90, hits
    assert hits["false_match_rate"] < 100  # Not as wide as to say nothing.


def test_an_interval_where_nothing_varies_is_that_of_the_number_of_classes():
    apart = np.repeat(np.eye(4), 3, axis=0)
    (counts,) = class_rates.counts(pairs.by_class(apart, np.repeat(np.arange(4), 3)), [0.5])
    rates = class_rates.rates(counts)
    # Two trials, Student's t of three degrees is 3.182: 10.13 / (2 + 10.13).
    assert rates["false_match_rate"].value == rates["false_match_rate"].low == 0
    assert rates["false_match_rate"].high == pytest.approx(0.835, abs=1e-3)
    assert rates["precision"].low == pytest.approx(0.165, abs=1e-3)
    with pytest.raises(ValueError, match="3 classes or more.*num_new_classes=1"):
        class_rates.rates(counts, 1)


def test_open_set_by_hand_and_as_the_reference_has_it():
    distances = [0.1, 0.2, 0.4, 0.3, 0.5]
    known, right = [True, True, True, False, False], [True, False, True, False, False]
    found = recognition.of_distances(distances, known, right, gallery_size=2)
    assert found.detection_rates.tolist() == [1 / 3, 2 / 3, 2 / 3, 1, 1]
    assert found.identification_rates.tolist() == [1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3]
    assert found.false_alarm_rates.tolist() == [0, 0, 0.5, 0.5, 1]
    assert found.auroc == pytest.approx(5 / 6)  # 0.4 against 0.3 is the one pair in wrong order.
    rng = np.random.default_rng(0)
    distances, known = rng.integers(20, size=200) / 7, rng.random(200) < 0.4
    found = recognition.of_distances(distances, known, known, 9)
    assert found.auroc == pytest.approx(reference.roc_auc_score(known, -distances))
    with pytest.raises(ValueError, match="known and of unknown classes. Received: 2 and 0"):
        recognition.of_distances([1, 2], [True, True], [True, True], 1)


def test_half_of_the_classes_are_known_with_half_of_their_images():
    found = metrics.open_set(np.repeat(np.eye(8), 5, axis=0), np.repeat(np.arange(8), 5))
    assert (found.gallery_size, found.num_known, found.num_unknown) == (4 * 2, 4 * 3, 4 * 5)
    assert found.auroc == 1.0
    assert found.identification_rates.tolist() == [1.0, 1.0]
    noise = metrics.open_set(RNG.normal(size=(600, 3)), np.arange(600) // 10)
    assert abs(noise.auroc - 0.5) < 0.1


def test_opis_is_the_spread_of_utilities_over_classes():
    score = metrics.opis(POINTS, LABELS, (0.05, 0.3))
    curve = metrics.curve(POINTS, LABELS)
    ends = [curve.thresholds[curve.at_false_match_rate(rate)] for rate in (0.05, 0.3)]
    utilities = []
    for label in np.flatnonzero(SIZES > 1):
        i, j = np.array(list(itertools.combinations(range(len(LABELS)), 2))).T
        touches = (LABELS[i] == label) | (LABELS[j] == label)
        positive, negative = DISTANCES[touches & SAME], DISTANCES[touches & ~SAME]
        for threshold in np.linspace(*ends, 101):
            a, b = (positive <= threshold).mean(), (negative > threshold).mean()
            utilities.append(2 * a * b / (a + b) if a + b else 0.0)
    utilities = np.reshape(utilities, (-1, 101))
    assert score == pytest.approx(utilities.var(axis=0).mean())
    assert metrics.opis(POINTS, LABELS, (0.05, 0.3), LEAST_MEMORY) == pytest.approx(score)
    with pytest.raises(ValueError, match="must ascend"):
        metrics.opis(POINTS, LABELS, (0.3, 0.05))
