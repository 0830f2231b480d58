"""The protocol's arithmetic, by hand."""

import numpy as np
import pytest

from ccpdml import metrics, protocols
from ccpdml.protocols import folds


def test_summary_by_hand():
    # Mean 2, sample standard deviation 1; Student's t for 2 degrees at 95 % is 4.3027.
    summary = protocols.summarize([1.0, 2.0, 3.0])
    assert summary["mean"] == 2.0
    assert summary["std"] == 1.0
    assert summary["high"] == pytest.approx(2.0 + 4.30265 / np.sqrt(3), rel=1e-5)


def test_one_value_has_no_interval():
    assert protocols.summarize([0.5])["low"] is None


def test_separated_averages_folds_before_it_counts_repeats():
    def run(value):
        names = ("map_at_r", "precision_at_1", "r_precision")
        return {"test": dict.fromkeys(names, value)}

    scores = protocols.separated([[run(0.1), run(0.3)], [run(0.4), run(0.6)]])
    assert scores["map_at_r"]["mean"] == pytest.approx(0.35)
    assert scores["map_at_r"]["count"] == 2


def test_concatenation_has_length_one_and_weighs_the_parts_alike():
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=(5, 3)), 1000.0 * rng.normal(size=(5, 2))
    whole = folds.concatenate([small, large])
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole[:, :3], axis=1), np.sqrt(0.5), rtol=1e-6)


def test_every_choice_of_a_repeat_per_fold_is_scored():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 4)
    embeddings = rng.normal(size=(3, 2, 20, 4)) + labels[:, None]
    scores = protocols.concatenated(embeddings, labels)["map_at_r"]
    assert scores["choices"]["count"] == 9
    assert scores["choices"]["worst"] < scores["choices"]["mean"] < scores["choices"]["best"]
    sampled = protocols.concatenated(embeddings, labels, max_choices=5)["map_at_r"]
    assert sampled["choices"]["count"] == 5
    assert sampled["mean"] == scores["mean"]
    one = metrics.retrieval(folds.concatenate(embeddings[1]), labels)
    alone = protocols.concatenated(embeddings[1:2], labels)
    assert alone["map_at_r"]["mean"] == one["mean_average_precision_at_r"]


def test_the_interval_counts_concatenations_that_share_no_model():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), 4)
    embeddings = rng.normal(size=(3, 2, 20, 4)) + labels[:, None]
    scores = protocols.concatenated(embeddings, labels)["map_at_r"]
    alone = [protocols.concatenated(embeddings[i : i + 1], labels) for i in range(3)]
    expected = protocols.summarize([each["map_at_r"]["mean"] for each in alone])
    assert {key: scores[key] for key in expected} == expected
