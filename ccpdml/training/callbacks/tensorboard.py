"""Files for TensorBoard: scalars while a run goes on, its settings and scores at the end."""

import ast
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gin
import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.scalar import summary_v2 as scalar_summary
from tensorboard.summary.writer import record_writer

from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage

EVENT_FILES = "events.out.tfevents.*"
OF_PROXIES = ("problem_instance", "covering_radius", "proxy_displacement", "padded_classes")


@gin.register
class TensorBoardScalars(OuterCallback):
    """Writes the logs of every evaluation as scalars.

    `validation/` has what starts with `val_` in the logs, `proxies/` what a re-initialization of
    the proxies says, `train/` the rest, the learning rate, and the value of the prox term.

    A resumed run keeps the scalars up to its checkpoint and drops those beyond, so that each step
    is there once. Put it after the callbacks that write into the logs.

    Args:
        directory: where the event file goes, made if missing.
    """

    stage = Stage.LOG

    def __init__(self, directory: str | Path):
        super().__init__()
        self.directory = Path(directory)

    def on_train_begin(self, logs=None):
        self.writer = _rewritten(self.directory, keep=lambda event: event.step <= self.steps_done)

    def on_epoch_end(self, epoch, logs=None):
        rate = tf.convert_to_tensor(self.model.optimizer.learning_rate)
        values = dict(logs or {}) | {"learning_rate": rate, "prox": _prox_term(self.model)}
        for name, value in values.items():
            _add_scalar(self.writer, tag(name), float(value), self.steps_done)
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()


def tag(name: str) -> str:
    """The name of a scalar by its key in the logs."""
    if name.startswith("val_"):
        return f"validation/{name.removeprefix('val_')}"
    return f"{'proxies' if name.startswith(OF_PROXIES) else 'train'}/{name}"


def write_results(
    directory: str | Path, name: str, bindings: dict[str, Any], scores: dict[str, Any], step: int
) -> None:
    """Writes the settings of a finished run and its test scores, for the tab of hyper-parameters.

    It takes the place of what an earlier call wrote.

    Args:
        directory: where the event file goes; no other event files may be there.
        name: of the run, different for every run.
        bindings: gin bindings by name, str -> str.
        scores: float by name.
        step: that the scores are of.
    """
    settings = {key: _plain(value) for key, value in bindings.items()}
    writer = _rewritten(Path(directory), keep=lambda event: False)
    _add(writer, hparams_api.hparams_pb(settings, trial_id=name), step=0)
    for key, score in scores.items():
        _add_scalar(writer, f"test/{key}", score, step)
    _add(writer, hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS), step=0)
    writer.close()


class _EventFile:
    """A new event file. TensorBoard's own writer writes in a thread, where errors are lost."""

    def __init__(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / EVENT_FILES.replace("*", f"{time.time_ns()}.{os.getpid()}")
        self.file = self.path.open("xb")
        self.records = record_writer.RecordWriter(self.file)
        self.add_event(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_event(self, event):
        with self._telling():
            self.records.write(event.SerializeToString())

    def flush(self):
        with self._telling():
            self.file.flush()

    def close(self):
        with self._telling():
            self.file.close()

    @contextlib.contextmanager
    def _telling(self):
        """Names the file in what the system says."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def _rewritten(directory: Path, keep: Callable[[Any], bool]):
    """A writer of a new event file, to which the events to keep were copied; old files go."""
    old_files = sorted(directory.glob(EVENT_FILES))
    kept = {}
    for event in _summaries(old_files):
        # A kill between the new file and the removal of the old ones leaves events twice.
        if keep(event):
            kept[event.step, event.summary.value[0].tag] = event
    writer = _EventFile(directory)
    for event in kept.values():
        writer.add_event(event)
    writer.flush()
    for path in old_files:
        path.unlink()
    return writer


def _summaries(paths: list[Path]) -> Iterator[Any]:
    """The summaries in event files; one that a kill left incomplete ends its file."""
    for path in paths:
        for data in event_file_loader.RawEventFileLoader(str(path)).Load():
            event = event_pb2.Event.FromString(data)
            if event.HasField("summary"):
                yield event


def _add_scalar(writer, name, value, step):
    _add(writer, scalar_summary.scalar_pb(name, value), step)


def _add(writer, summary, step):
    event = event_pb2.Event(wall_time=time.time(), step=step)
    event.summary.MergeFromString(summary.SerializeToString())
    writer.add_event(event)


def _prox_term(learner):
    """λ/2·|θ - θ_center|², 0 where there is none."""
    if learner.prox_center is None:
        return 0.0
    pairs = zip(learner.encoder_weights, learner.prox_center.copies, strict=True)
    squares = [tf.nn.l2_loss(tf.convert_to_tensor(w) - tf.convert_to_tensor(c)) for w, c in pairs]
    return learner.prox_weight_in_force * tf.add_n(squares)


def _plain(text):
    """A number, bool or str from the text of a gin value."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # A reference or a macro.
        return text
    return value if isinstance(value, (bool, int, float, str)) else text
