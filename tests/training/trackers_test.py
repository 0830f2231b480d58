"""Trackers of experiments: what they are told of a run, which is stopped and goes on."""

import json
import sys
from pathlib import Path

import gin
import pytest

from ccpdml import config, training
from ccpdml.runs import assembly

SHORT = [
    *("train.steps = 8", "train.evaluate_every = 2", "train.evaluate_untrained = False"),
    *("train.tensorboard = False", "small_cnn.filters = (4,)"),
]


class Notes(training.Tracker):
    """Keeps what it is told; each object is a process of its own, as it were."""

    told: list = []

    def begin(self, config):
        self._id_file.parent.mkdir(parents=True, exist_ok=True)
        self.told.append(("begin", self._read_id(), "train.steps = 8" in config))
        self._id_file.write_text("mine")

    def log(self, values, step):
        self.told.append((step, values))

    def end(self):
        self.told.append("end")


class Stop(training.OuterCallback):
    """Ends the process, as it were, after the second evaluation is saved."""

    stage = training.Stage.EXIT

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def experiment(run_dir, tracker):
    gin.clear_config()
    config.load(["gin/digits_ms_base.gin"], SHORT)
    made = training.Experiment(run_dir)
    machine = made.recipe.machine
    object.__setattr__(machine, "tracker", tracker)
    return made


def run(run_dir, tracker, monkeypatch):
    """A run that is stopped after half of its steps, then goes on; its results."""
    with monkeypatch.context() as patch:
        kept = assembly._kept
        patch.setattr(assembly, "_kept", lambda *given: [*kept(*given), Stop()])
        with pytest.raises(KeyboardInterrupt):
            experiment(run_dir, tracker).run()
    return experiment(run_dir, tracker).run()


@pytest.mark.usefixtures("without_figures")
def test_a_tracker_is_told_of_every_evaluation_once_and_of_the_scores(tmp_path, monkeypatch):
    monkeypatch.setattr(Notes, "told", [])
    found = run(tmp_path, Notes, monkeypatch)
    first, *rest = Notes.told
    assert first == ("begin", None, True)
    assert rest[2] == ("begin", "mine", True)
    *evaluations, scores, end = rest[:2] + rest[3:]
    rows = [json.loads(line) for line in (tmp_path / "logs" / "history.jsonl").open()]
    assert [step for step, _ in evaluations] == [row["step"] for row in rows] == [2, 4, 6, 8]
    for (_, values), row in zip(evaluations, rows, strict=True):
        assert values["validation/map_at_r"] == row["val_map_at_r"]
        assert values["train/loss"] == row["loss"]
    assert scores == (
        found["best_step"],
        {f"test/{name}": value for name, value in found["test"].items()},
    )
    assert end == "end"


def test_a_run_that_was_killed_before_it_was_scored_begins_again_to_tell_its_scores(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Notes, "told", [])
    Notes(tmp_path).finish({"test": {"map_at_r": 0.5}, "best_step": 6})
    assert Notes.told == [("begin", None, False), (6, {"test/map_at_r": 0.5}), "end"]


def drive(make):
    """Has a tracker be told of a run that stops after two evaluations and then goes on."""
    first, second = make(), make()
    first.begin("train.steps = 8")
    first.log({"validation/map_at_r": 0.1}, 2)
    first.log({"validation/map_at_r": 0.2}, 4)
    second.begin("train.steps = 8")
    second.log({"validation/map_at_r": 0.3}, 6)
    make().finish({"test": {"map_at_r": 0.5}, "best_step": 6})
    return second


def test_mlflow_has_one_run_of_a_run_that_was_stopped(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs pip install 'ccpdml[mlflow]'")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # Servers and databases need no leave.
    uri = (tmp_path / "store").as_uri()
    run_dir = tmp_path / "the run"
    drive(lambda: training.MlflowTracker(run_dir, experiment="mine", uri=uri))
    client = mlflow.MlflowClient(uri)
    (told,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (told.info.run_name, told.info.status) == ("the run", "FINISHED")
    assert told.data.metrics["test/map_at_r"] == 0.5
    values = client.get_metric_history(told.info.run_id, "validation/map_at_r")
    assert sorted((each.step, each.value) for each in values) == [(2, 0.1), (4, 0.2), (6, 0.3)]
    path = client.download_artifacts(told.info.run_id, "operative_config.gin", str(tmp_path))
    assert Path(path).is_file()


def test_wandb_goes_on_under_the_same_id(tmp_path):
    pytest.importorskip("wandb", reason="needs pip install 'ccpdml[wandb]'")
    tracker = drive(lambda: training.WandbTracker(tmp_path, mode="offline"))
    assert tracker.run.id == (tmp_path / "logs" / "WandbTracker.id").read_text()
    folders = list((tmp_path / "logs" / "wandb").glob("offline-run-*"))
    assert folders
    assert all(tracker.run.id in folder.name for folder in folders)


@pytest.mark.parametrize("kind", [training.WandbTracker, training.MlflowTracker])
def test_what_is_not_installed_is_told_before_training(tmp_path, monkeypatch, kind):
    name = kind.__name__.removesuffix("Tracker").lower()
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install 'ccpdml\[{name}\]'"):
        kind(tmp_path)
