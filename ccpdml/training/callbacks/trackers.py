"""Trackers of experiments: Weights & Biases and MLflow are told of a run while it goes on."""

import importlib
import time
import uuid
from pathlib import Path
from typing import Any

import gin

from ccpdml import files
from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage
from ccpdml.training.callbacks.tensorboard import tag


class Tracker(OuterCallback):
    """Base of trackers: tells one of the run, of every evaluation, and of the scores at the end.

    A run that goes on after a stop goes on in the tracker as well: its id is kept in the run
    directory. What was evaluated again since the last checkpoint is then told twice.

    Args:
        run_dir: directory of the run.
    """

    stage = Stage.LOG

    def __init__(self, run_dir: str | Path):
        super().__init__()
        self.run_dir = Path(run_dir)
        self._has_begun = False

    def begin(self, config: str) -> None:
        """Begins or goes on, given the gin configuration that is in force, str."""
        raise NotImplementedError

    def log(self, values: dict[str, float], step: int) -> None:
        """Tells numbers by name, of a gradient step."""
        raise NotImplementedError

    def end(self) -> None:
        """Ends: the run is finished."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        self.begin(gin.operative_config_str())
        self._has_begun = True

    def on_epoch_end(self, epoch, logs=None):
        values = {tag(name): float(value) for name, value in (logs or {}).items()}
        self.log(values, self.steps_done)

    def finish(self, results: dict[str, Any]) -> None:
        """Tells the test scores and ends.

        Args:
            results: what `results.json` holds.
        """
        if not self._has_begun:  # All was trained before the run stopped.
            self.on_train_begin()
        scores = {f"test/{name}": value for name, value in results["test"].items()}
        self.log(scores, results["best_step"])
        self.end()

    @property
    def _id_file(self):
        return self.run_dir / "logs" / f"{type(self).__name__}.id"

    def _read_id(self):
        """The id that the run has in the tracker, None before it has one."""
        return self._id_file.read_text() if self._id_file.is_file() else None


@gin.register
class WandbTracker(Tracker):
    """Tells Weights & Biases of a run; `pip install 'ccpdml[wandb]'`.

    The configuration is `gin` in that of the run there, line by line; numbers are over `step`.

    Args:
        run_dir: directory of the run; its name is that of the run there.
        project: to which it belongs.
        mode: "online", "offline" or "disabled"; None leaves it to the settings of wandb.

    Raises:
        ImportError: if wandb is not installed.
    """

    def __init__(self, run_dir: str | Path, project: str = "ccpdml", mode: str | None = None):
        super().__init__(run_dir)
        self.wandb = _package("wandb")
        self.project, self.mode = project, mode
        self.run: Any = None

    def begin(self, config):
        run_id = self._read_id() or uuid.uuid4().hex[:12]
        files.write_text(self._id_file, run_id)
        self.run = self.wandb.init(
            project=self.project,
            name=self.run_dir.resolve().name,
            id=run_id,
            resume="allow",
            reinit="finish_previous",  # One that ended in an error is still there.
            mode=self.mode,
            dir=str(self.run_dir / "logs"),
            config={"gin": config.splitlines()},
        )
        # By a number of ours: steps that come again after a stop would be dropped by its own.
        self.run.define_metric("*", step_metric="step")

    def log(self, values, step):
        self.run.log(values | {"step": step})

    def end(self):
        self.run.finish()


@gin.register
class MlflowTracker(Tracker):
    """Tells MLflow of a run; `pip install 'ccpdml[mlflow]'`.

    The configuration is the file operative_config.gin among the artifacts of the run there.

    Args:
        run_dir: directory of the run; its name is that of the run there.
        experiment: to which it belongs, made if there is none of that name.
        uri: of the server or store; None leaves it to the settings of MLflow.

    Raises:
        ImportError: if MLflow is not installed.
    """

    def __init__(self, run_dir: str | Path, experiment: str = "ccpdml", uri: str | None = None):
        super().__init__(run_dir)
        self.mlflow = _package("mlflow")
        self.experiment, self.uri = experiment, uri
        self.client: Any = None
        self.run_id: str | None = None

    def begin(self, config):
        self.client = self.mlflow.MlflowClient(self.uri)
        self.run_id = self._read_id()
        if self.run_id is None:
            found = self.client.get_experiment_by_name(self.experiment)
            owner = found.experiment_id if found else self.client.create_experiment(self.experiment)
            name = self.run_dir.resolve().name
            self.run_id = self.client.create_run(owner, run_name=name).info.run_id
            files.write_text(self._id_file, self.run_id)
        self.client.update_run(self.run_id, status="RUNNING")
        self.client.log_text(self.run_id, config, "operative_config.gin")

    def log(self, values, step):
        now = int(1000 * time.time())
        metrics = [
            self.mlflow.entities.Metric(name, value, now, step) for name, value in values.items()
        ]
        self.client.log_batch(self.run_id, metrics=metrics)

    def end(self):
        self.client.set_terminated(self.run_id)


def _package(name: str) -> Any:
    """A package that only those have who ask for it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"This tracker needs {name}: pip install 'ccpdml[{name}]'. Received: {error}"
        ) from error
