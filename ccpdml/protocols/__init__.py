"""The evaluation protocol: models of several folds, scored apart and together."""

from ccpdml.metrics import summarize
from ccpdml.protocols.folds import concatenated, separated

__all__ = ["concatenated", "separated", "summarize"]
