"""What TensorBoard reads back: scalars once per step, settings with scores, the projector."""

import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins import projector as projector_api
from tensorboard.plugins.hparams import plugin_data_pb2

from ccpdml import data, training
from ccpdml.training import projector, tensorboard, terminal
from tests.training import checkpoint_test, tiny

NUM_EPOCHS = 6


def read(directory):
    """All scalars of a directory by tag: lists of (step, value)."""
    events = event_accumulator.EventAccumulator(str(directory), purge_orphaned_data=False)
    events.Reload()
    return {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if not tag.startswith("_hparams_")
    }


def run(directory, stop_after=None, every=1, optimizer=None):
    """Trains, or goes on, a checkpoint every few epochs; returns the scalars."""
    model = tiny.learner(prox_weight=0.1, optimizer=optimizer)
    outer = training.ProxyReinitialization(checkpoint_test.Pool(), patience=2)
    scalars = training.TensorBoardScalars(directory / "events")
    checkpoint = training.Checkpoint(directory / "checkpoints", [outer], every=every)
    epochs, steps = checkpoint.restore(model)
    power = [checkpoint_test.Power(stop_after)] if stop_after is not None else []
    try:
        model.fit(
            tiny.dataset().skip(steps),
            initial_epoch=epochs,
            epochs=NUM_EPOCHS,
            steps_per_epoch=5,
            callbacks=[checkpoint_test.Score(), outer, scalars, checkpoint, *power],
            verbose=0,
            shuffle=False,
        )
    except KeyboardInterrupt:
        assert stop_after is not None
    return read(directory / "events")


def test_logs_are_sorted_into_training_validation_and_proxies(tmp_path):
    scalars = run(tmp_path)
    steps = [5 * (i + 1) for i in range(NUM_EPOCHS)]
    for tag in ("train/loss", "train/learning_rate", "train/prox_weight", "validation/map_at_r"):
        assert [step for step, _ in scalars[tag]] == steps
    np.testing.assert_allclose([v for _, v in scalars["train/learning_rate"]], 0.01)
    scores = [value for _, value in scalars["validation/map_at_r"]]
    np.testing.assert_allclose(scores, [0.1, 0.3, 0.2, 0.2, 0.4, 0.3], rtol=1e-6)
    # Instance 1 begins at the fourth evaluation, two after the best; with it the prox term.
    assert [step for step, _ in scalars["proxies/covering_radius_after"]] == [20]
    prox = [value for _, value in scalars["train/prox"]]
    assert prox[:3] == [0.0] * 3
    assert min(prox[3:]) > 0.0
    assert all(tag.split("/")[0] in ("train", "validation", "proxies") for tag in scalars)


def test_the_learning_rate_of_a_schedule_is_the_one_in_force(tmp_path):
    schedule = tf.keras.optimizers.schedules.PiecewiseConstantDecay([12], [0.1, 0.01])
    scalars = run(tmp_path, optimizer=tf.keras.optimizers.SGD(schedule))
    rates = [value for _, value in scalars["train/learning_rate"]]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.01, 0.01], rtol=1e-6)


def test_two_replicas_write_what_one_does(tmp_path, two_replicas):
    one = run(tmp_path / "one")
    with two_replicas.scope():
        two = run(tmp_path / "two")
    assert one.keys() == two.keys()
    for tag, points in one.items():
        np.testing.assert_allclose(two[tag], points, rtol=1e-3, atol=1e-4, err_msg=tag)


def times(directory):
    events = event_accumulator.EventAccumulator(str(directory / "events")).Reload()
    return [event.wall_time for event in events.Tensors("train/loss")]


def test_a_resumed_run_has_every_step_once_and_keeps_the_time_of_those_before(
    tmp_path, op_determinism
):
    whole, parts = run(tmp_path / "whole"), tmp_path / "parts"
    run(parts, stop_after=2, every=2)
    before = times(parts)
    # A kill can leave half an event, and a file that was to be replaced.
    (path,) = (parts / "events").iterdir()
    shutil.copy(path, f"{path}.copy")
    with path.open("ab") as file:
        file.write(path.read_bytes()[-40:-7])
    assert run(parts, every=2) == whole
    assert times(parts)[:2] == before[:2]
    assert len(before) == 3  # the third was beyond the checkpoint
    assert len(list((parts / "events").iterdir())) == 1


def test_settings_and_scores_are_written_once(tmp_path):
    settings = {"train.steps": "100", "Adam.rate": "1e-3", "a.b": "@C", "d.e": "(1, 2)", "f": "'x'"}
    for score in (0.25, 0.5):
        tensorboard.write_results(tmp_path, "run", settings, {"map_at_r": score}, step=70)
    assert read(tmp_path) == {"test/map_at_r": [(70, 0.5)]}
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    contents = events.PluginTagToContent("hparams")
    parsed = [plugin_data_pb2.HParamsPluginData.FromString(c) for c in contents.values()]
    (start,) = [p.session_start_info for p in parsed if p.HasField("session_start_info")]
    assert start.group_name == "run"
    assert start.hparams["train.steps"].number_value == 100
    assert start.hparams["Adam.rate"].number_value == 1e-3
    texts = {key: start.hparams[key].string_value for key in ("a.b", "d.e", "f")}
    assert texts == {"a.b": "@C", "d.e": "(1, 2)", "f": "x"}


def test_a_full_disk_is_told_with_the_file_and_mended_by_the_same_call(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"events\.out\.tfevents") as caught:
            tensorboard.write_results(tmp_path, "run", {"a": "1"}, {"map_at_r": 0.5}, step=70)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "make room" in terminal.told(caught.value)
    tensorboard.write_results(tmp_path, "run", {"a": "1"}, {"map_at_r": 0.5}, step=70)
    assert read(tmp_path) == {"test/map_at_r": [(70, 0.5)]}


@pytest.mark.parametrize("most", [5000, 4])
def test_the_projector_finds_points_names_and_pictures(tmp_path, monkeypatch, most):
    monkeypatch.setattr(projector, "MAX_POINTS", most)
    reds = np.arange(0, 250, 50, dtype=np.uint8)
    images = np.zeros((5, 8, 6, 3), np.uint8)
    images[..., 0] = reds[:, None, None]
    image_set = data.ImageSet(images, np.array([0, 0, 1, 1, 1]), ("a\tname", "b"))
    embeddings = np.random.default_rng(0).normal(size=(5, 3))
    projector.write(tmp_path, embeddings, image_set)
    config = projector_api.ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    (embedding,) = config.embeddings
    rows = [0, 1, 2, 3, 4] if most == 5000 else [0, 1, 3, 4]
    stored = np.loadtxt(tmp_path / embedding.tensor_path)
    np.testing.assert_allclose(stored, embeddings[rows], rtol=1e-5)
    names = (tmp_path / embedding.metadata_path).read_text().splitlines()
    assert names[0] == "class\timage"
    assert [line.split("\t")[0] for line in names[1:]] == [
        "a name" if row < 2 else "b" for row in rows
    ]
    sprite = Image.open(tmp_path / embedding.sprite.image_path)
    width, height = embedding.sprite.single_image_dim
    num_columns = sprite.width // width
    centers = [
        (width * (i % num_columns) + width // 2, height * (i // num_columns) + height // 2)
        for i in range(len(rows))
    ]
    assert [sprite.getpixel(center) for center in centers] == [(reds[r], 0, 0) for r in rows]


def test_a_sprite_of_many_images_stays_in_bounds(tmp_path):
    images = np.zeros((5000, 1, 1, 1), np.uint8)
    image_set = data.ImageSet(images, np.zeros(5000, int), ("a",))
    projector.write(tmp_path, np.zeros((5000, 1)), image_set)
    assert max(Image.open(tmp_path / "sprite.png").size) <= projector.MAX_SIDE
