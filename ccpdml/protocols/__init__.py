"""The evaluation protocol: models of several folds, scored apart and together."""

from ccpdml.protocols.folds import concatenated, separated, summarize

__all__ = ["concatenated", "separated", "summarize"]
