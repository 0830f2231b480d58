"""Bases of callbacks of the outer loop: the stage in which one acts, the state that it keeps."""

import enum
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf


class Stage(enum.IntEnum):
    """Places in the order of callbacks, first to last, at whatever moment Keras calls them all."""

    EVALUATION = 0
    """Writes scores into the logs."""
    WATCH = 1
    """Looks at what was evaluated."""
    STOPPING = 2
    """Keeps the best weights, with the proxies that they were evaluated with."""
    PROXIES = 3
    """Changes what was evaluated."""
    RECORD = 4
    """Writes down what was changed."""
    EXTRA = 5
    """Of every callback that says nothing: all of the evaluation is in the logs by then."""
    LOG = 6
    """Writes the logs down, with what all before it put there."""
    CHECKPOINT = 7
    """Saves what all before it did."""
    EXIT = 8
    """Leaves, once everything is saved."""


class OuterCallback(tf.keras.callbacks.Callback):
    """A Keras callback that knows its place among others.

    Attributes:
        stage: the `Stage` in which it acts; an attribute of the class.
    """

    stage = Stage.EXTRA

    @property
    def steps_done(self) -> int:
        """Gradient steps that the model has made."""
        return int(tf.convert_to_tensor(self.model.optimizer.iterations))


@runtime_checkable
class Stateful(Protocol):
    """Something with a state of plain numbers, lists and dicts, which JSON can hold."""

    def get_state(self) -> dict[str, Any]:
        """Returns the state."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""


@runtime_checkable
class Checkpointed(Stateful, Protocol):
    """A callback that checkpoints keep, so that a resumed run goes on with it."""

    def trackables(self) -> dict[str, Any]:
        """Returns variables, or objects that hold some, that belong to the state, by name."""


class StatefulCallback(OuterCallback):
    """Base of the callbacks that are `Checkpointed`, and know their place among others."""

    def get_state(self) -> dict[str, Any]:
        """State for checkpoints, beside `trackables`: plain numbers, strings, lists and dicts."""
        raise NotImplementedError

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        raise NotImplementedError

    def trackables(self) -> dict[str, Any]:
        """Variables (TensorFlow's or Keras's) or `tf.Module`s that a checkpoint keeps, by name."""
        return {}
