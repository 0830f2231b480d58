"""Callbacks of training, for Keras's `fit`: what happens at an evaluation, and in which order.

    RetrievalEvaluation      scores the validation classes
    UntrainedEvaluation      scores what there was before, and sets each evaluation beside it
    CollapseAlarm            warns where embeddings lie together
    EarlyStopping            keeps the best weights, ends the run
    ProxyReinitialization    ends a problem instance, draws a pool (`PoolDraw`), picks new proxies
    ProxyRecord              writes down what was picked
    History, ProgressBar, TensorBoardScalars     log
    WandbTracker, MlflowTracker    tell a tracker of experiments
    Checkpoint               saves what a run needs to go on
    Preemption               leaves, if the cluster asks for the machine

`OuterLoop` makes one object of them, in this order: that of their `Stage`.
"""

from ccpdml.training.callbacks.checkpoint import Checkpoint
from ccpdml.training.callbacks.collapse_alarm import CollapseAlarm
from ccpdml.training.callbacks.early_stopping import EarlyStopping
from ccpdml.training.callbacks.evaluation import RetrievalEvaluation
from ccpdml.training.callbacks.history import History, ProgressBar
from ccpdml.training.callbacks.outer_callback import (
    Checkpointed,
    OuterCallback,
    Stage,
    Stateful,
    StatefulCallback,
)
from ccpdml.training.callbacks.outer_loop import OuterLoop
from ccpdml.training.callbacks.pool import Pool, PoolDraw, PoolOfImages
from ccpdml.training.callbacks.preemption import Preempted, Preemption
from ccpdml.training.callbacks.proxy_record import ProxyRecord
from ccpdml.training.callbacks.reinitialization import Placing, ProxyReinitialization
from ccpdml.training.callbacks.tensorboard import TensorBoardScalars
from ccpdml.training.callbacks.trackers import MlflowTracker, Tracker, WandbTracker
from ccpdml.training.callbacks.untrained_evaluation import UntrainedEvaluation

__all__ = [
    "Checkpoint",
    "Checkpointed",
    "CollapseAlarm",
    "EarlyStopping",
    "History",
    "MlflowTracker",
    "OuterCallback",
    "OuterLoop",
    "Placing",
    "Pool",
    "PoolDraw",
    "PoolOfImages",
    "Preempted",
    "Preemption",
    "ProgressBar",
    "ProxyRecord",
    "ProxyReinitialization",
    "RetrievalEvaluation",
    "Stage",
    "Stateful",
    "StatefulCallback",
    "TensorBoardScalars",
    "Tracker",
    "UntrainedEvaluation",
    "WandbTracker",
]
