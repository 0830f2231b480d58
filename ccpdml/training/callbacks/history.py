"""The record of a run, and its progress bar."""

import json
from pathlib import Path

import tqdm

from ccpdml import files
from ccpdml.reports.records import read_history
from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage


class History(OuterCallback):
    """Appends the logs of every epoch to a file of JSON lines, with `step` and `epoch`.

    A resumed run drops the rows that lie beyond its checkpoint. Put it before `Checkpoint`.

    Args:
        path: the file.
    """

    stage = Stage.LOG

    def __init__(self, path: str | Path):
        super().__init__()
        self.path = Path(path)

    def on_train_begin(self, logs=None):
        rows = [row for row in read_history(self.path) if row["step"] <= self.steps_done]
        files.write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, "step": self.steps_done}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


class ProgressBar(OuterCallback):
    """One bar for the whole run, with the loss, the last MAP@R, and what it was before training.

    Args:
        num_steps: steps of the run, int.
        monitor: key of the logs to show beside the loss.
        label: what to call it, str.
    """

    stage = Stage.LOG

    def __init__(self, num_steps: int, monitor: str = "val_map_at_r", label: str = "val MAP@R"):
        super().__init__()
        self.num_steps = num_steps
        self.monitor, self.label = monitor, label
        self.shown: dict[str, float] = {}
        self.bar = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def on_train_begin(self, logs=None):
        self.bar = tqdm.tqdm(total=self.num_steps, unit="step", initial=self.steps_done)

    def on_train_batch_end(self, batch, logs=None):
        self._show({"loss": (logs or {}).get("loss")})

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        untrained = {name: logs.get(f"val_{name}_map_at_r") for name in ("untrained", "gain")}
        self._show({self.label: logs.get(self.monitor)} | untrained)

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Ends the bar, so that what is told next begins a line of its own."""
        if self.bar is not None:
            self.bar.close()

    def _show(self, values):
        self.shown |= {name: f"{float(v):.4f}" for name, v in values.items() if v is not None}
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(self.steps_done - self.bar.n)
