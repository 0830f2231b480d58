"""The end of a run: no better score for long, and the best encoder put back."""

from typing import Any, Literal

import gin

from ccpdml.bounds import Count, NonNegative, checked
from ccpdml.training.callbacks.monitor import Monitor
from ccpdml.training.callbacks.outer_callback import Stage, StatefulCallback
from ccpdml.training.snapshot import Snapshot


@gin.register
class EarlyStopping(StatefulCallback):
    """Stops after `patience` evaluations without a better score and restores the best weights.

    Unlike Keras's own it keeps its counters and the best weights in a `Checkpoint`. Put it after
    `RetrievalEvaluation`, whose scores it reads, and before `ProxyReinitialization`, which replaces
    the proxies that were evaluated.

    Args:
        monitor: key of the logs.
        mode: "max" or "min".
        patience: evaluations (epochs) without a gain, int; 60 in the paper (supplement, 2.1).
        min_delta: by how much a score must beat the best, float; 1e-5 in the original.
    """

    stage = Stage.STOPPING

    @checked
    def __init__(
        self,
        monitor: str = "val_map_at_r",
        mode: Literal["max", "min"] = "max",
        patience: Count = 60,
        min_delta: NonNegative = 0.0,
    ):
        super().__init__()
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.best = None
        self.best_step = 0
        self.puts_back = True  # One of several in an `OuterLoop` does.

    def set_model(self, model):
        super().set_model(model)
        if self.best is None:
            with model.distribute_strategy.scope():
                self.best = Snapshot(list(model.encoder.weights) + list(model.criterion.weights))

    def on_train_begin(self, logs=None):
        if "problem_instance" in (logs or {}):
            raise ValueError(
                "`EarlyStopping` must stand before `ProxyReinitialization` in `callbacks`, so that "
                "the best weights have the proxies they were evaluated with. Received: "
                "`ProxyReinitialization` first"
            )

    @property
    def is_over(self) -> bool:
        """Tells whether the run has seen `patience` evaluations without a gain."""
        return self.monitor.num_without_gain >= self.patience

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor.update(logs):
            self.best.take()
            self.best_step = self.steps_done
        if self.is_over:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.puts_back and self.monitor.num_evaluations:
            self.best.put_back()

    def get_state(self) -> dict[str, Any]:
        """State for checkpoints, beside the best weights."""
        return {"monitor": self.monitor.get_state(), "best_step": self.best_step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        self.monitor.set_state(state["monitor"])
        self.best_step = state["best_step"]

    def trackables(self) -> dict[str, Any]:
        """Variables that a checkpoint must keep."""
        return {"best": self.best}
