"""Data sets, class-disjoint splits, class-balanced sampling and input pipelines."""

from ccpdml.data import folds, pipelines, samplers, source, views
from ccpdml.data.image_set import ImageSet, Splits
from ccpdml.data.loading import load

__all__ = ["ImageSet", "Splits", "folds", "load", "pipelines", "samplers", "source", "views"]
