"""Finished runs as values, without the objects that trained."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml.data.image_set import Splits
from ccpdml.reports.statements import Statement


@dataclasses.dataclass(frozen=True)
class Trained:
    """The network of a run that is trained to its end.

    Attributes:
        encoder: the best weights as a Keras model of its own, which normalizes its embeddings.
        description: how an image becomes its input, see `serving.description`.
        ran: what was trained.
        best_step: step of the best weights, int.
        steps: gradient steps made, int.
        history: a dict per evaluation.
        seconds: wall time of this session, float.
        untrained: the scores before the first step, as of `training.UntrainedEvaluation`; None if
            they were not wanted.
    """

    encoder: tf.keras.Model
    description: dict[str, Any]
    ran: Statement
    best_step: int
    steps: int
    history: list[dict[str, Any]]
    seconds: float
    untrained: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores and embeddings of an evaluation.

    Attributes:
        scores: float by the keys of `metrics.names`.
        query_scores: of each query, as of `metrics.per_query`.
        query: embeddings, float32 [num_queries, dim].
        gallery: likewise of the gallery; None where queries are searched among themselves.
    """

    scores: dict[str, Any]
    query_scores: dict[str, Any]
    query: np.ndarray
    gallery: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that is trained and scored; `runs.write` makes a directory of it.

    Attributes:
        trained: the network.
        splits: the data it was trained and scored on.
        data: what tells them from others, see `data.identity`.
        selected_on: "validation" or "test" classes, which chose the best weights.
        test: what the evaluation of the test classes found.
        validation: scores on the validation classes; None if there are none.
        train_embeddings: float32 [num_train_images, dim].
        proxies: tuple of float32 [num_proxies, dim] and their classes, int [num_proxies]; of
            (None, None) if there are no proxies.
    """

    trained: Trained
    splits: Splits
    data: dict[str, Any]
    selected_on: str
    test: Scored
    validation: dict[str, Any] | None
    train_embeddings: np.ndarray
    proxies: tuple[np.ndarray | None, np.ndarray | None]
