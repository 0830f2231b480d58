"""CollapseAlarm: what it watches, and when it speaks."""

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from ccpdml import training
from tests.training import tiny


@pytest.fixture
def alarm():
    images, labels = tiny.batches(4)
    sets = images.reshape(-1, tiny.SIZE), labels.reshape(-1)
    retrieval = training.RetrievalEvaluation(sets)
    alarm = training.CollapseAlarm(retrieval)
    model = tiny.learner(activation=None)
    shapes = [w.shape for w in model.encoder.get_weights()]
    model.encoder.set_weights([np.eye(*s) if len(s) == 2 else np.zeros(s) for s in shapes])
    alarm.set_model(model), retrieval.set_model(model)
    return alarm


def warnings_of(alarm, monkeypatch):
    """The warnings of one evaluation, and its logs."""
    said, logs = [], {}
    monkeypatch.setattr(logging, "warning", lambda text, *args: said.append(text % args))
    alarm.retrieval.on_epoch_end(0, logs)
    alarm.on_epoch_end(0, logs)
    return said, logs


def test_a_healthy_encoder_is_measured_in_silence(alarm, monkeypatch):
    said, logs = warnings_of(alarm, monkeypatch)
    assert not said
    embeddings, labels = alarm.retrieval.embeddings, alarm.retrieval.labels
    assert logs["val_embedding_variance"] == pytest.approx(embeddings.var(axis=0).sum(), rel=1e-5)
    squares = ((embeddings[:, None] - embeddings) ** 2).sum(axis=-1)
    positive = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    expected = np.sqrt(squares[positive].mean())
    assert logs["val_positive_distance"] == pytest.approx(expected, rel=1e-5)
    assert logs["val_positive_distance"] < logs["val_negative_distance"]


def test_a_network_that_was_never_trained_is_not_told_to_have_collapsed(alarm, monkeypatch):
    for seed in range(3):
        tf.keras.utils.set_random_seed(seed)
        alarm.model.encoder.set_weights(tiny.encoder().get_weights())
        said, _ = warnings_of(alarm, monkeypatch)
        assert not [text for text in said if "All images" in text]


def test_a_collapse_is_told_once_and_again_if_it_comes_back(alarm, monkeypatch):
    weights = alarm.model.encoder.get_weights()
    collapsed = [tf.zeros_like(w) if w.ndim > 1 else tf.ones_like(w) for w in weights]
    alarm.model.encoder.set_weights(collapsed)
    said, _ = warnings_of(alarm, monkeypatch)
    assert ["nearly the same point" in text and "Likely causes" in text for text in said] == [True]
    assert not warnings_of(alarm, monkeypatch)[0]
    alarm.model.encoder.set_weights(weights)
    assert not warnings_of(alarm, monkeypatch)[0]
    alarm.model.encoder.set_weights(collapsed)
    assert len(warnings_of(alarm, monkeypatch)[0]) == 1
