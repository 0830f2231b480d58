"""What every metric must be; a new one is found by its key in `metrics.names`."""

import numpy as np
import pytest

from ccpdml import metrics

CUTOFFS = (1, 3)
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(6), 5)
POINTS = (RNG.normal(size=(6, 4))[LABELS] + 0.8 * RNG.normal(size=(30, 4))).astype(np.float32)
APART = np.eye(6, dtype=np.float32)[LABELS]
HOSTILE = {
    "ordinary": (POINTS, LABELS),
    "one point": (np.ones_like(POINTS), LABELS),
    "zeros": (np.zeros_like(POINTS), LABELS),
    "every point twice": (POINTS.repeat(2, axis=0), LABELS.repeat(2)),
    "one class": (POINTS, np.zeros_like(LABELS)),
    "a class of one": (POINTS, np.append(LABELS[:-1], 9)),
    "two images": (POINTS[:2], LABELS[:2]),
    "huge": (1e30 * POINTS, LABELS),
    "tiny": (1e-30 * POINTS, LABELS),
    "one entry": (POINTS[:, :1], LABELS),
}

each_metric = pytest.mark.parametrize("key", metrics.names.keys(CUTOFFS))


def score(key, points, labels, *gallery):
    return metrics.retrieval(points, labels, *gallery, recall_at=CUTOFFS)[key]


@each_metric
@pytest.mark.parametrize("case", HOSTILE)
def test_it_is_a_share_whatever_the_embeddings_are(key, case):
    assert 0.0 <= score(key, *HOSTILE[case]) <= 1.0


@each_metric
def test_it_is_one_where_classes_are_apart_and_none_where_all_neighbors_are_others(key):
    assert score(key, APART, LABELS) == 1.0
    query, gallery = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)
    gallery = np.repeat(gallery, 3, axis=0)
    others = np.array([1, 1, 1, 0, 0, 0])  # Each query lies on three of the other class.
    assert score(key, query, [0, 1], gallery, others) == 0.0


@each_metric
def test_it_depends_on_the_ranks_and_the_partition_alone(key):
    expected = score(key, POINTS, LABELS)
    order = RNG.permutation(len(LABELS))
    turn, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
    assert score(key, POINTS[order], LABELS[order]) == pytest.approx(expected, abs=1e-12)
    assert score(key, POINTS, 7 - 3 * LABELS) == expected
    assert score(key, 4.0 * POINTS, LABELS) == expected
    assert score(key, POINTS @ turn + 1.0, LABELS) == pytest.approx(expected, abs=1e-12)


@each_metric
def test_its_averages_by_class_query_and_in_all_agree(key):
    scores = metrics.retrieval(POINTS, LABELS, recall_at=CUTOFFS, per_class=True)
    values = metrics.per_query(POINTS, LABELS, recall_at=CUTOFFS)
    classes = metrics.names.Scores(scores["per_class"])
    assert classes[key].shape == (6,)
    assert np.mean(classes[key]) == pytest.approx(scores[key])
    assert np.mean(metrics.names.Scores(values)[key]) == pytest.approx(scores[key])


@each_metric
def test_it_has_a_label_of_its_own(key):
    labels = [metrics.names.label(each) for each in metrics.names.keys(CUTOFFS)]
    assert labels.count(metrics.names.label(key)) == 1
