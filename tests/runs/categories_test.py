"""Runs on data whose classes are in categories."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import data, losses, metrics, models, runs
from ccpdml.runs.preparation import Preparation


def digits():
    """Digits, even and odd ones."""
    splits = data.load("digits")

    def told(part):
        return dataclasses.replace(
            part, categories=tuple("odd" if int(name) % 2 else "even" for name in part.class_names)
        )

    parts = {name: told(getattr(splits, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(splits, **parts)


def recipe():
    return runs.Recipe(
        runs.Data(digits),
        runs.Model(
            functools.partial(
                models.build_encoder,
                backbone=functools.partial(models.small_cnn, filters=(4,)),
                embedding_size=4,
            ),
            functools.partial(losses.BatchPairs, losses.TripletLoss()),
            tf.keras.optimizers.Adam,
        ),
        runs.Batches(2, 4, data.samplers.CategoryBalancedSampler),
        runs.Schedule(2, evaluate_every=2, evaluate_untrained=False),
    )


def test_every_worker_gets_its_slice_of_batches_drawn_by_category():
    prepared = Preparation(recipe())
    assert set(prepared.sampler.classes_of_category) == {"even", "odd"}
    whole, *slices = (
        next(iter(prepared.batches(1, shard)))[1].numpy() for shard in ((0, 1), (0, 2), (1, 2))
    )
    np.testing.assert_array_equal(np.concatenate(slices), whole)
    categories = np.array(prepared.splits.train.categories)[whole[::4]]
    assert sorted(categories) == ["even", "odd"]


def finished(splits):
    """A run that is scored, of an encoder that gives the pixels."""
    points = splits.test.images.reshape(len(splits.test), -1).astype(np.float32)
    scores = metrics.per_query(points, splits.test.labels)
    scored = runs.Scored(dict.fromkeys(metrics.names.keys((1,))), scores, points, None)
    return runs.Finished(None, splits, {}, "validation", scored, None, points, (None, None))


def test_the_results_have_the_scores_of_each_category():
    splits = digits()
    found = json.loads(json.dumps(runs.results.by_category(finished(splits))))
    test, points = splits.test, finished(splits).test.query
    assert set(found) == {"even", "odd"}
    expected = metrics.retrieval(points, test.labels, per_class=True)["per_class"]
    expected = metrics.names.Scores(expected)
    for category, scores in found.items():
        of_class = [test.categories[label] == category for label in expected["labels"]]
        weights = expected["num_queries"] * of_class
        assert scores.pop("num_queries") == np.sum(weights)
        for key, score in scores.items():
            np.testing.assert_allclose(score, np.average(expected[key], weights=weights))
    assert set(scores) == {*metrics.names.LABELS, "recall_at_1"}


@pytest.mark.parametrize("categories", [(), ("all",) * 4])
def test_one_category_has_no_scores_of_its_own(categories):
    splits = digits()
    test = dataclasses.replace(splits.test, categories=categories)
    assert runs.results.by_category(finished(dataclasses.replace(splits, test=test))) == {}
