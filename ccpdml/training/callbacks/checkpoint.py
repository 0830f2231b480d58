"""Everything a run needs to go on as if it had never stopped."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from absl import logging

from ccpdml import compat
from ccpdml.bounds import Count, checked
from ccpdml.cluster import strategies
from ccpdml.training.callbacks.outer_callback import Checkpointed, OuterCallback, Stage


class _PlainState(tf.train.experimental.PythonState):
    """The plain numbers of a callback, as part of a TensorFlow checkpoint."""

    def __init__(self, owner):
        super().__init__()
        self.owner = owner

    def serialize(self):
        return json.dumps(self.owner.get_state())

    def deserialize(self, string_value):
        self.owner.set_state(json.loads(string_value))


@gin.register
class Checkpoint(OuterCallback):
    """Saves weights, both optimizers, the prox term and the state of other callbacks.

    Put it into an `OuterLoop`, which hands it the state of the other callbacks and goes on where a
    run stopped. Alone, call `restore` before `fit`, start at the epoch and step it returns, and put
    it last. A run that stopped inside an epoch goes on inside it: the calls of the inner loop that
    were made are skipped, and the mean loss goes on from where it was.

    Args:
        directory: where the checkpoints go, made if missing.
        callbacks: outside of an `OuterLoop`, the callbacks of the same `fit` that have state, each
            `Checkpointed`, as a `StatefulCallback` is.
        every: evaluations (epochs) between two checkpoints, int; the last one always makes one.
        keep: newest checkpoints kept, int.
    """

    stage = Stage.CHECKPOINT

    @checked
    def __init__(
        self,
        directory: str | Path,
        callbacks: Sequence[tf.keras.callbacks.Callback] = (),
        every: Count = 1,
        keep: Count = 2,
    ):
        super().__init__()
        self.directory = str(directory)
        self.callbacks = list(callbacks)
        self.owners = _by_class(self.callbacks)
        self.every, self.keep = every, keep
        self.num_epochs, self.num_steps_into_epoch = 0, 0
        self.step_at_epoch_begin = 0
        self.manager: tf.train.CheckpointManager | None = None

    def own(self, callbacks: dict[str, Checkpointed]) -> None:
        """Keeps the state of these callbacks, each under its name; an `OuterLoop` calls it."""
        self.owners = dict(callbacks)

    def restore(self, learner: tf.keras.Model) -> tuple[int, int]:
        """Puts the newest checkpoint back, if there is one.

        Args:
            learner: the compiled `MetricLearner`, built as it was when the checkpoint was made.

        Returns:
            Tuple (epochs done, steps done); (0, 0) where there is no checkpoint.

        Raises:
            ValueError: if the checkpoint is of another model or method.
        """
        for callback in self.owners.values():
            callback.set_model(learner)
        self.checkpoint = tf.train.Checkpoint(**self._items(learner))
        output_directory = strategies.output_directory(learner.distribute_strategy, self.directory)
        self.manager = tf.train.CheckpointManager(self.checkpoint, output_directory, self.keep)
        self._read_newest()
        self.mean_loss = [np.array(tf.convert_to_tensor(v)) for v in learner.loss_tracker.variables]
        return self.num_epochs, int(tf.convert_to_tensor(learner.optimizer.iterations))

    def _read_newest(self):
        paths = Path(self.directory).glob("ckpt-*.index")
        # Others, such as copies that somebody keeps, are none of this run's.
        steps = {path: path.stem.removeprefix("ckpt-") for path in paths}
        steps = {path: int(step) for path, step in steps.items() if step.isdecimal()}
        paths = sorted(steps, key=steps.get, reverse=True)
        for path in paths:
            try:
                return self._read(path.with_suffix(""))
            # TensorFlow raises an IndexError where a file is shorter than it should be.
            except (tf.errors.OpError, IndexError) as error:
                logging.warning("The checkpoint %s is damaged, and passed over: %s", path, error)
        if paths:
            raise ValueError(
                f"No checkpoint in {self.directory} can be read. Remove the directory to start the "
                "run anew."
            )

    def _read(self, path):
        try:
            status = self.checkpoint.restore(str(path))
            # Before it can fail: TensorFlow would then list every value that it did not restore.
            status.expect_partial()
            status.assert_consumed()
        except (AssertionError, ValueError) as error:
            raise ValueError(
                f"{path} was made by another model or method; restore it with the configuration "
                "that made it, or choose another directory."
            ) from error

    def write_to(self, directory: str | Path) -> None:
        """Writes one checkpoint to a directory other than the run's."""
        tf.train.CheckpointManager(self.checkpoint, str(directory), 1).save()

    def on_train_begin(self, logs=None):
        if self.manager is None and self.restore(self.model)[0]:
            raise ValueError(
                f"{self.directory} holds the checkpoint of a run. Call `restore` before `fit` to "
                "go on from it, or choose another directory."
            )
        self._sweep()
        # The last call of a run may have made fewer steps, for want of data.
        num_calls = -(-self.num_steps_into_epoch // self.model.steps_per_loop)
        self.model.train_function.num_to_skip = num_calls

    def _sweep(self):
        """Removes what processes that were killed while they wrote a checkpoint have left."""
        directory = Path(self.manager.directory)
        for pattern in ("checkpoint.tmp*", "ckpt-*.tempstate*", "ckpt-*_temp"):
            for path in directory.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in directory.glob("ckpt-*.data-*"):
            if not path.with_suffix(".index").exists():
                path.unlink()

    def on_epoch_begin(self, epoch, logs=None):
        self.step_at_epoch_begin = self.steps_done - self.num_steps_into_epoch
        if self.num_steps_into_epoch:
            for variable, value in zip(
                self.model.loss_tracker.variables, self.mean_loss, strict=True
            ):
                variable.assign(value)
            self.num_steps_into_epoch = 0

    def on_epoch_end(self, epoch, logs=None):
        self.num_epochs, self.step_at_epoch_begin = epoch + 1, self.steps_done
        # Not at train end: by then the weights are the best ones, not those to go on from.
        is_last = self.model.stop_training or self.num_epochs == self.params["epochs"]
        if is_last or self.num_epochs % self.every == 0:
            self.save()

    def save(self) -> None:
        """Writes a checkpoint now; a half-written one is never taken for the newest.

        Raises:
            OSError: if it cannot be written; the one before it is kept.
            ValueError: if nobody called `restore` before.
        """
        if self.manager is None:
            raise ValueError("Call `Checkpoint.restore` before `save`: it makes what is saved.")
        try:
            self.manager.save(checkpoint_number=self.steps_done)
        except tf.errors.OpError as error:
            if strategies.is_lost_worker(error):  # Writing is collective.
                raise
            raise OSError(
                f"The checkpoint of step {self.steps_done} cannot be written to {self.directory}: "
                f"{error.message} The one before it is kept: make room, or mend what is wrong, and "
                "resume the run."
            ) from error

    def get_state(self) -> dict[str, Any]:
        """Number of epochs that are done, and of steps into the next."""
        return {
            "num_epochs": self.num_epochs,
            "num_steps_into_epoch": self.steps_done - self.step_at_epoch_begin,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        self.num_epochs = state["num_epochs"]
        self.num_steps_into_epoch = state["num_steps_into_epoch"]

    def _items(self, learner):
        variables = {
            "weights": learner.weights,
            "optimizer": learner.optimizer.variables,
            "criterion_optimizer": [
                v for optimizer in learner.criterion_optimizers for v in optimizer.variables
            ],
            "mean_loss": learner.loss_tracker.variables,
        }
        # One name for each: Keras 3 hides variables that are held in lists from checkpoints.
        items = {
            f"{name}_{i:04d}": compat.raw(v)
            for name, group in variables.items()
            for i, v in enumerate(group)
        }
        if learner.prox_center is not None:
            items["prox_center"] = learner.prox_center
            items["prox_weight"] = learner.prox_weight_in_force
        items["Checkpoint_state"] = _PlainState(self)
        for name, owner in self.owners.items():
            items[f"{name}_state"] = _PlainState(owner)
            items |= {
                f"{name}_{key}": _trackable(owner, key, value)
                for key, value in owner.trackables().items()
            }
        return items


def _trackable(owner, key, value):
    """A variable of a callback, as TensorFlow keeps it."""
    value = compat.raw(value)
    # Lists, dicts and layers would pass in Keras 3, without the variables in them.
    is_module = isinstance(value, tf.Module) and not isinstance(value, tf.keras.layers.Layer)
    if isinstance(value, tf.Variable) or is_module:
        return value
    raise ValueError(
        f"`{type(owner).__name__}.trackables()[{key!r}]` must be a variable, or a `tf.Module` that "
        "holds some; of a metric or optimizer give each of its `.variables` a name. Received: "
        f"{type(value).__name__}"
    )


def _by_class(callbacks):
    """Callbacks by the name of their class, which no two may share."""
    for callback in callbacks:
        if not isinstance(callback, Checkpointed):
            raise ValueError(
                "`Checkpoint.callbacks` must have `get_state`, `set_state` and `trackables`, as a "
                f"`StatefulCallback` has. Received: {type(callback).__name__}"
            )
    owners = {type(callback).__name__: callback for callback in callbacks}
    if len(owners) < len(callbacks):
        raise ValueError(
            "Two callbacks of one class would share one state: give them to an `OuterLoop`, with "
            f"names. Received: callbacks={[type(callback).__name__ for callback in callbacks]}"
        )
    return owners
