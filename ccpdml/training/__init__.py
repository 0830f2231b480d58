"""Training: the learner, its compiled inner loop, optimizers; `callbacks` is a room of its own."""

import importlib

from ccpdml.training.callbacks import (
    Checkpoint,
    CollapseAlarm,
    EarlyStopping,
    History,
    OuterCallback,
    OuterLoop,
    PoolDraw,
    Preempted,
    Preemption,
    ProgressBar,
    ProxyRecord,
    ProxyReinitialization,
    RetrievalEvaluation,
    Stage,
    StatefulCallback,
    TensorBoardScalars,
    evaluation,
    history,
    preemption,
    tensorboard,
)
from ccpdml.training.learner import MetricLearner
from ccpdml.training.loop import NonFiniteLossError
from ccpdml.training.trained_network import trained_network

__all__ = [
    "Checkpoint",
    "CollapseAlarm",
    "EarlyStopping",
    "History",
    "MetricLearner",
    "NonFiniteLossError",
    "OuterCallback",
    "OuterLoop",
    "PoolDraw",
    "Preempted",
    "Preemption",
    "ProgressBar",
    "ProxyRecord",
    "ProxyReinitialization",
    "RetrievalEvaluation",
    "Stage",
    "StatefulCallback",
    "TensorBoardScalars",
    "evaluation",
    "history",
    "preemption",
    "tensorboard",
    "trained_network",
]

_MOVED = {
    *("Experiment", "claims", "experiment", "lock", "pictures"),
    *("projector", "replay", "results", "terminal"),
}


def __getattr__(name: str) -> object:
    """What whole runs are made of is in `ccpdml.runs`, and found here under its earlier names."""
    if name in _MOVED:
        runs = importlib.import_module("ccpdml.runs")
        return getattr(runs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
