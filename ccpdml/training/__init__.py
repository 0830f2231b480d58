"""Training: the learner, its compiled inner loop, optimizers; callbacks at evaluations.

learner            encoder and criterion as one Keras model
loop               several steps in one call
gradients          weight decay, the prox term, clipping
optimizers         one for the encoder, linked ones for the criterion
warm_up            what learns in the first steps
embedding          images to embeddings on every worker at once
snapshot           copies of weights
trained_network    training on from an encoder that a run left
untrained          what there is to compare before the first step
callbacks          what happens at an evaluation, a room of its own
"""

import importlib

from ccpdml.training.callbacks import (
    Checkpoint,
    Checkpointed,
    CollapseAlarm,
    EarlyStopping,
    History,
    MlflowTracker,
    OuterCallback,
    OuterLoop,
    Placing,
    Pool,
    PoolDraw,
    PoolOfImages,
    Preempted,
    Preemption,
    ProgressBar,
    ProxyRecord,
    ProxyReinitialization,
    RetrievalEvaluation,
    Stage,
    Stateful,
    StatefulCallback,
    TensorBoardScalars,
    Tracker,
    UntrainedEvaluation,
    WandbTracker,
    evaluation,
    history,
    preemption,
    tensorboard,
    untrained_evaluation,
)
from ccpdml.training.learner import MetricLearner
from ccpdml.training.loop import NonFiniteLossError
from ccpdml.training.trained_network import trained_network

__all__ = [
    "Checkpoint",
    "Checkpointed",
    "CollapseAlarm",
    "EarlyStopping",
    "History",
    "MetricLearner",
    "MlflowTracker",
    "NonFiniteLossError",
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
    "evaluation",
    "history",
    "preemption",
    "tensorboard",
    "trained_network",
    "untrained_evaluation",
]

_MOVED = {
    "ccpdml.runs": {
        *("Experiment", "claims", "experiment", "pictures"),
        *("projector", "replay", "results", "terminal"),
    },
    "ccpdml.cluster": {"lock", "rendezvous", "shared_directory", "strategies"},
}


def __getattr__(name: str) -> object:
    """Finds modules that have a room of their own since, under their earlier names."""
    for room, names in _MOVED.items():
        if name in names:
            return getattr(importlib.import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
