"""Everything a run needs to go on as if it had never stopped."""

import json

import gin
import tensorflow as tf

from ccpdml.training import stacks, strategies


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
class Checkpoint(tf.keras.callbacks.Callback):
    """Saves weights, both optimizers, the prox term and the state of other callbacks.

    Call `restore` before `fit` and start at the epoch and step it returns. Put this callback last.
    A callback has state if it has `get_state() -> dict` and `set_state(dict)` of plain numbers; its
    variables are what `trackables()` returns by name.

    Args:
        directory: where the checkpoints go, made if missing.
        callbacks: the callbacks of the same `fit` that have state.
        every: evaluations (epochs) between two checkpoints, int.
        keep: newest checkpoints kept, int.
    """

    def __init__(self, directory, callbacks=(), every=1, keep=2):
        super().__init__()
        self.directory = str(directory)
        self.callbacks = list(callbacks)
        self.every, self.keep = every, keep
        self.num_epochs = 0
        self.manager = None

    def restore(self, learner):
        """Puts the newest checkpoint back, if there is one.

        Args:
            learner: the compiled `MetricLearner`, built as it was when the checkpoint was made.

        Returns:
            Tuple (epochs done, steps done); (0, 0) where there is no checkpoint.

        Raises:
            ValueError: if the checkpoint is of another model or method.
        """
        for callback in self.callbacks:
            callback.set_model(learner)
        checkpoint = tf.train.Checkpoint(**self._items(learner))
        self.manager = tf.train.CheckpointManager(
            checkpoint,
            strategies.output_directory(learner.distribute_strategy, self.directory),
            self.keep,
        )
        newest = tf.train.latest_checkpoint(self.directory)
        if newest:
            try:
                checkpoint.restore(newest).assert_consumed()
            except (AssertionError, ValueError) as error:
                raise ValueError(
                    f"{newest} was made by another model or method; restore it with the "
                    "configuration that made it, or choose another directory."
                ) from error
        return self.num_epochs, int(tf.convert_to_tensor(learner.optimizer.iterations))

    def on_train_begin(self, logs=None):
        if self.manager is None and self.restore(self.model)[0]:
            raise ValueError(
                f"{self.directory} holds the checkpoint of a run. Call `restore` before `fit` to "
                "go on from it, or choose another directory."
            )

    def on_epoch_end(self, epoch, logs=None):
        self.num_epochs = epoch + 1
        if self.num_epochs % self.every == 0:
            self.save()

    def on_train_end(self, logs=None):
        if self.num_epochs % self.every:
            self.save()

    def save(self):
        """Writes a checkpoint now; a half-written one is never taken for the newest."""
        self.manager.save(checkpoint_number=self.num_epochs)

    def get_state(self):
        """How many epochs are done."""
        return {"num_epochs": self.num_epochs}

    def set_state(self, state):
        """Takes back what `get_state` gave."""
        self.num_epochs = state["num_epochs"]

    def _items(self, learner):
        variables = {
            "weights": learner.weights,
            "optimizer": learner.optimizer.variables,
            "criterion_optimizer": learner.criterion_optimizer.variables,
        }
        # One name for each: Keras 3 hides variables that are held in lists from checkpoints.
        items = {
            f"{name}_{i:04d}": stacks.raw(v)
            for name, group in variables.items()
            for i, v in enumerate(group)
        }
        if learner.prox_center is not None:
            items["prox_center"] = learner.prox_center
            items["prox_weight"] = learner.prox_weight_in_force
        for owner in [self, *self.callbacks]:
            name = f"{type(owner).__name__}"
            items[f"{name}_state"] = _PlainState(owner)
            if hasattr(owner, "trackables"):
                items |= {f"{name}_{key}": value for key, value in owner.trackables().items()}
        return items
