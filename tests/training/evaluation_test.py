"""RetrievalEvaluation: what it writes into the logs, from which images."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, metrics, training
from ccpdml.cluster import replicas
from tests.training import tiny


@pytest.fixture
def sets():
    images, labels = tiny.batches(4)
    return images.reshape(-1, tiny.SIZE), labels.reshape(-1)


def test_logs_hold_the_scores_of_normalized_embeddings(sets):
    images, labels = sets
    model = tiny.learner()
    logs = {}
    evaluation = training.RetrievalEvaluation(sets, recall_at=(5,))
    evaluation.set_model(model)
    evaluation.on_epoch_end(0, logs)
    embeddings = model.predict(images, verbose=0)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = metrics.retrieval(embeddings / np.maximum(1.0, lengths), labels, recall_at=(1, 5))
    assert logs["val_map_at_r"] == pytest.approx(expected["mean_average_precision_at_r"], abs=1e-6)
    assert logs["val_precision_at_1"] == pytest.approx(expected["precision_at_1"], abs=1e-6)
    assert logs["val_r_precision"] == pytest.approx(expected["r_precision"], abs=1e-6)
    assert logs["val_recall_at_5"] == pytest.approx(expected["recall_at_5"], abs=1e-6)


def test_arrays_datasets_and_datasets_with_labels_score_alike(sets):
    images, labels = sets
    model = tiny.learner(losses.TripletLoss())
    batches = tf.data.Dataset.from_tensor_slices(images).batch(7)
    labelled = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    scores = [
        training.RetrievalEvaluation(source).evaluate(model)
        for source in (sets, (batches, labels[:, None]), labelled)
    ]
    assert scores[0] == scores[1] == scores[2]


def test_queries_are_searched_in_the_gallery_if_there_is_one(sets):
    images, labels = sets
    model = tiny.learner()
    evaluation = training.RetrievalEvaluation((images[:8], labels[:8]), (images, labels))
    # Every query is in the gallery itself and finds itself first.
    assert evaluation.evaluate(model)["precision_at_1"] == 1.0


def test_the_shares_of_three_workers_make_the_whole(sets, monkeypatch):
    model = tiny.learner()
    evaluation = training.RetrievalEvaluation(sets)
    evaluation.evaluate(model)
    strategy = model.distribute_strategy
    whole = evaluation._per_query(strategy)
    monkeypatch.setattr(replicas, "sum_over_workers", lambda x, _: x)
    shares = []
    for index in range(3):
        monkeypatch.setattr(replicas, "worker", lambda _, index=index: (index, 3))
        shares.append(evaluation._per_query(strategy))
    for name, values in whole.items():
        np.testing.assert_array_equal(sum(share[name] for share in shares), values)
        assert all(np.count_nonzero(share["num_matches"]) < len(values) for share in shares)
