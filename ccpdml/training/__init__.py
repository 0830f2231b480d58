"""Training: the learner, its compiled inner loop, the outer callbacks."""

import importlib

from ccpdml.training.checkpoint import Checkpoint
from ccpdml.training.collapse_alarm import CollapseAlarm
from ccpdml.training.early_stopping import EarlyStopping
from ccpdml.training.evaluation import RetrievalEvaluation
from ccpdml.training.history import History, ProgressBar
from ccpdml.training.learner import MetricLearner
from ccpdml.training.loop import NonFiniteLossError
from ccpdml.training.outer_callback import OuterCallback, Stage, StatefulCallback
from ccpdml.training.outer_loop import OuterLoop
from ccpdml.training.pool import PoolDraw
from ccpdml.training.preemption import Preempted, Preemption
from ccpdml.training.proxy_record import ProxyRecord
from ccpdml.training.reinitialization import ProxyReinitialization
from ccpdml.training.tensorboard import TensorBoardScalars
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
