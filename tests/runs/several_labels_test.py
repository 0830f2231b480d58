"""Runs on images with several labels."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import data, losses, metrics, models, runs
from ccpdml.runs import pictures
from tests.data.several_labels_test import SEVERAL, images


def recipe(criterion):
    network = functools.partial(models.small_cnn, filters=(4,))
    part = images()
    splits = data.image_set.Splits(part, part, part, info={"fold": 0})
    return runs.Recipe(
        runs.Data(lambda: splits),
        runs.Model(
            functools.partial(models.build_encoder, backbone=network, embedding_size=4),
            criterion,
            tf.keras.optimizers.Adam,
        ),
        runs.Batches(4, 3),
        runs.Schedule(2, evaluate_every=2, evaluate_untrained=False),
    )


def test_a_run_trains_on_them_and_scores_what_shares_one(tmp_path):
    criterion = functools.partial(
        losses.CrossBatchMemory, losses.TripletLoss(), memory_size=24, warmup_steps=0
    )
    run = runs.assemble(recipe(criterion))
    assert run.learner.criterion.num_labels == 8
    pixels, labels = next(iter(run.prepared.batches(1)))
    np.testing.assert_array_equal(labels, SEVERAL[run.prepared.sampler.batch(1)])
    loss, _, is_finite = run.learner.gradients_of((pixels, labels))
    assert is_finite
    assert loss > 0.0
    test = run.prepared.test_evaluation()
    scores = test.evaluate(run.learner)
    expected = metrics.retrieval(test.embeddings, SEVERAL)
    assert scores["map_at_r"] == pytest.approx(expected["map_at_r"])
    right = pictures._share(SEVERAL[:2], SEVERAL[[[3, 4, 5], [6, 7, 8]]])
    assert right.tolist() == [
        [bool((SEVERAL[row] & SEVERAL[other]).any()) for other in others]
        for row, others in enumerate([[3, 4, 5], [6, 7, 8]])
    ]
    trained = runs.Scored(scores, test.query_scores, test.embeddings, None)
    finished = runs.Finished(None, run.splits, {}, "validation", trained, None, None, (None, None))
    runs.results._write_embeddings(finished, tmp_path / "test.npz")
    with np.load(tmp_path / "test.npz") as stored:
        np.testing.assert_array_equal(stored["query_labels"], SEVERAL)


def test_a_run_with_proxies_is_refused_before_it_trains():
    with pytest.raises(ValueError, match="`ProxyAnchorLoss` needs one.*train.criterion"):
        runs.assemble(recipe(losses.ProxyAnchorLoss))
