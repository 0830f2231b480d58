"""Step 0: what is scored before training, that it stays known, and that it changes nothing."""

import json
import re

import gin
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from ccpdml import config, data, losses, metrics, models, training
from ccpdml.models import untrained
from ccpdml.runs import identity
from tests import programs
from tests.runs.assembly_test import recipe
from tests.training import tiny
from tests.training.experiment_test import ROOT, SHORT, experiment


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def map_at_r(vectors, labels):
    return metrics.retrieval(vectors, labels)["map_at_r"]


def network(shape):
    return models.small_cnn(shape, filters=(4, 8))


def learner(encoder, **kwargs):
    made = training.MetricLearner(encoder, losses.ProxyNCALoss(4), **kwargs)
    made.compile(tf.keras.optimizers.Adam(0.01), steps_per_execution=2)
    return made


def images(num_images=24):
    rng = np.random.default_rng(5)
    labels = np.arange(num_images) % 4
    pixels = rng.integers(0, 120, (num_images, 8, 8, 1)) + 30 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_pooled_features_are_compared_where_the_head_is_new(precision):
    tf.keras.mixed_precision.set_global_policy(precision)
    encoder = models.build_encoder((8, 8, 1), network, embedding_size=3, pooling="max")
    pixels, labels = images()
    callback = training.UntrainedEvaluation(
        {"validation": training.RetrievalEvaluation((pixels, labels))}
    )
    found = callback.measure(learner(encoder, preprocess=models.scale_to_unit_range))
    maps = np.float32(encoder.layers[1](models.scale_to_unit_range(pixels)))
    expected = map_at_r(unit(maps.max(axis=(1, 2))), labels)
    assert found["measured"] == untrained.POOLED
    tolerance = 1e-6 if precision == "float32" else 1e-2
    assert found["validation"]["map_at_r"] == pytest.approx(expected, abs=tolerance)


def test_a_head_that_was_trained_is_part_of_what_is_compared():
    def with_head(shape):
        made = network(shape)
        kernel = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        made.trained_head = models.encoder.TrainedHead(kernel, "avg")
        return made

    encoder = models.build_encoder((8, 8, 1), with_head, embedding_size=3)
    assert untrained.comparable(encoder) == (encoder, untrained.EMBEDDINGS)
    own = tf.keras.Sequential(
        [tf.keras.Input((8, 8, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)]
    )
    assert untrained.comparable(own) == (own, untrained.EMBEDDINGS)
    pixels, labels = images()
    made = learner(own)
    parts = {"validation": training.RetrievalEvaluation((pixels.astype(np.float32), labels))}
    found = training.UntrainedEvaluation(parts).measure(made)
    expected = map_at_r(unit(own(pixels.astype(np.float32)).numpy()), labels)
    assert found["validation"]["map_at_r"] == pytest.approx(expected, abs=1e-6)


def test_of_a_head_on_vectors_these_are_compared():
    vectors, labels = (part.reshape(-1, *part.shape[2:]) for part in tiny.batches(3))
    callback = training.UntrainedEvaluation(
        {"validation": training.RetrievalEvaluation((vectors, labels))}
    )
    found = callback.measure(tiny.learner())
    assert found["measured"] == untrained.FEATURES
    expected = map_at_r(unit(vectors), labels)
    assert found["validation"]["map_at_r"] == pytest.approx(expected, abs=1e-6)


def test_two_replicas_find_what_one_finds(two_replicas):
    pixels, labels = images(23)  # The last batches of the two differ.

    def found():
        tf.keras.utils.set_random_seed(0)
        encoder = models.build_encoder((8, 8, 1), network, embedding_size=3)
        made = learner(encoder, preprocess=models.scale_to_unit_range)
        batches = tf.data.Dataset.from_tensor_slices(pixels).batch(6)
        part = training.RetrievalEvaluation((batches, labels))
        return training.UntrainedEvaluation({"test": part}).measure(made)["test"]

    one = found()
    with two_replicas.scope():
        assert found() == pytest.approx(one, abs=1e-6)


def test_fit_has_it_as_a_callback_and_it_changes_nothing(tmp_path, op_determinism, monkeypatch):
    sets = tuple(part.reshape(-1, *part.shape[2:]) for part in tiny.batches(4, seed=1))
    warned = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: warned.append(text % args))

    def fit(watched):
        retrieval = training.RetrievalEvaluation(sets)
        step_0 = training.UntrainedEvaluation({"validation": retrieval}, tmp_path / "step_0.json")
        model = tiny.learner(prox_weight=0.0)
        callbacks = [retrieval, *([step_0] if watched else [])]
        told = model.fit(
            tiny.dataset(), steps_per_epoch=5, epochs=2, callbacks=callbacks, verbose=0
        )
        return told.history, tiny.weights(model), step_0

    without, plain, _ = fit(watched=False)
    history, weights, step_0 = fit(watched=True)
    np.testing.assert_array_equal(weights, plain)
    assert history["val_map_at_r"] == without["val_map_at_r"]
    before = step_0.scores["validation"]["map_at_r"]
    assert history["val_untrained_map_at_r"] == [before, before]
    assert history["val_gain_map_at_r"] == [s - before for s in history["val_map_at_r"]]
    is_worse = max(history["val_map_at_r"]) < before
    assert ["Worse than not training" in text for text in warned] == [True] * is_worse
    # It is known: what is in the file holds.
    path = tmp_path / "step_0.json"
    path.write_text(path.read_text().replace(repr(before), "1.0"))
    warned.clear()
    assert fit(watched=True)[0]["val_untrained_map_at_r"] == [1.0, 1.0]
    (text,) = warned
    assert "MAP@R of the validation classes is" in text
    assert "was 100.00 %" in text
    path.write_text('{"measured": 3')
    with pytest.raises(ValueError, match=r"step_0.json.*Remove the file.*Received: '\{\"measured"):
        training.UntrainedEvaluation(step_0.evaluations, path).measure(tiny.learner())


def test_of_a_learner_that_was_trained_nothing_is_said(monkeypatch):
    warned = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: warned.append(text))
    vectors, labels = (part.reshape(-1, *part.shape[2:]) for part in tiny.batches(2))
    model = tiny.learner()
    model.fit(tiny.dataset(), steps_per_epoch=5, verbose=0)
    part = training.RetrievalEvaluation((vectors, labels))
    assert training.UntrainedEvaluation({"test": part}).measure(model) is None
    assert "trained already" in warned[0]
    with pytest.raises(ValueError, match="at least one. Received"):
        training.UntrainedEvaluation({})


def test_an_alarm_sounds_below_the_untrained_score_only():
    before = {"measured": "", "test": {"map_at_r": 0.5}, "validation": {"map_at_r": 0.5}}
    after = {"test": {"map_at_r": 0.499}, "validation": {"map_at_r": 0.5}}
    found = metrics.gain.alarms(after, before)
    assert list(found) == ["test"]
    assert "49.90 %, and was 50.00 %" in found["test"]
    gains = metrics.gain.gains({"map_at_r": 0.5, "recall_at_2": 0.9}, {"map_at_r": 0.25})
    assert gains == {"map_at_r": 0.25}


@pytest.mark.usefixtures("without_figures")
def test_a_baseline_is_no_finished_run_and_training_goes_on_from_it(tmp_path):
    run_dir = tmp_path / "one run"
    bindings = [*SHORT, "train.tensorboard = False"]
    before = experiment(run_dir, bindings=bindings).baseline()
    assert before == json.loads((run_dir / "results.json").read_text())
    assert before["trained"] is False
    assert "test" not in before
    assert set(before["untrained"]) == {"measured", "validation", "test"}
    assert set(before["untrained"]["test"]) == set(metrics.names.keys((2, 4, 8)))
    run = training.Experiment(run_dir)
    assert not run.is_finished
    assert "before training are known" in run.state
    lines = "\n".join(training.terminal.closing(run, before))
    assert f"Scored are {untrained.POOLED}. Nothing was trained" in lines
    with pytest.raises(ValueError, match="without that flag"):
        training.results.read(run_dir)
    # A run that was killed does not measure again: it takes what is written.
    path = run_dir / "logs" / "untrained.json"
    known = json.loads(path.read_text())
    weights = known.pop("weights")
    assert known == before["untrained"]
    known["test"]["map_at_r"] = 1.0
    path.write_text(json.dumps(known | {"weights": weights}))
    results = run.run()
    assert results["untrained"] == known
    assert any("Worse than not training: MAP@R of the test" in a for a in results["alarms"])
    assert training.Experiment(run_dir).is_finished
    assert training.Experiment(run_dir).baseline() == results  # Shown, not written over.
    lines = "\n".join(training.terminal.closing(run, results))
    assert f"\n  ccpdml report '{run_dir}'\n" in lines  # As a shell takes it.
    assert re.search(r"\n  untrained .* 100.0 .*\n  difference .* -", lines)
    (row, *_) = training.history.read_history(run_dir / "logs" / "history.jsonl")
    assert row["val_untrained_map_at_r"] == known["validation"]["map_at_r"]


def test_scores_of_other_weights_are_measured_anew_unless_the_run_goes_on(tmp_path):
    path = tmp_path / "untrained.json"
    evaluation = training.RetrievalEvaluation(images())

    def measured(seed, **kwargs):
        tf.keras.utils.set_random_seed(seed)
        encoder = models.build_encoder((8, 8, 1), network, embedding_size=3)
        callback = training.UntrainedEvaluation({"validation": evaluation}, path)
        return callback.measure(learner(encoder, preprocess=models.scale_to_unit_range), **kwargs)

    first = measured(0)
    path.write_text(path.read_text().replace("the pooled", "read: the pooled"))
    assert measured(0)["measured"].startswith("read")
    assert measured(1, goes_on=True)["measured"].startswith("read")
    assert measured(1)["measured"] == first["measured"]
    assert measured(1) != first


def test_it_can_be_left_out_and_old_runs_stay_what_they_were(tmp_path):
    off = experiment(tmp_path, bindings=[*SHORT, "train.evaluate_untrained = False"])
    with pytest.raises(config.ConfigError, match="evaluate_untrained=False"):
        off.baseline()
    _, outer = off.build()
    assert "UntrainedEvaluation" not in outer
    gin.clear_config()
    _, outer = experiment(tmp_path).build()
    # A checkpoint of an earlier version has no state of it.
    assert not isinstance(outer["UntrainedEvaluation"], training.Checkpointed)
    assert identity.defaults()["schedule.evaluate_untrained"] == "True"
    assert identity.of(recipe())["schedule.evaluate_untrained"] == "True"
    assert not list(tmp_path.iterdir())


def test_where_test_classes_choose_they_are_scored_once(tmp_path):
    files = [ROOT / "gin" / "digits_ms.gin", ROOT / "gin" / "protocols" / "conventional.gin"]
    config.load(files, SHORT)
    found = training.Experiment(tmp_path).baseline()["untrained"]
    assert set(found) == {"measured", "test"}


def test_stored_features_are_scored_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(12), 8)
    vectors = rng.normal(size=(12, 6))[classes] + 0.8 * rng.normal(size=(96, 6))
    np.savez(tmp_path / "features.npz", features=vectors.astype(np.float32), labels=classes)
    bindings = [
        *("train.steps = 4", "train.evaluate_every = 4", "feature_head.hidden_units = ()"),
        *(f"data.load.root = '{tmp_path}'", "data.load.num_folds = 2", "PoolDraw.pool_size = 8"),
        *("train.classes_per_batch = 3", "train.samples_per_class = 4"),
    ]
    run = experiment(tmp_path / "run", "features_ms", bindings)
    found = run.baseline()["untrained"]
    assert found["measured"] == untrained.FEATURES
    test = data.load("features", tmp_path).test
    expected = map_at_r(unit(test.images), test.labels)
    assert found["test"]["map_at_r"] == pytest.approx(expected, abs=1e-6)


def test_the_command_stops_at_the_baseline(tmp_path):
    flags = ["--gin_file=gin/digits_ms.gin", f"--run_dir={tmp_path}", "--baseline_only"]
    code, output = programs.run_in(ROOT, "run.py", *flags)
    assert not code, output
    assert json.loads((tmp_path / "results.json").read_text())["trained"] is False
    assert not (tmp_path / "checkpoints").exists()
