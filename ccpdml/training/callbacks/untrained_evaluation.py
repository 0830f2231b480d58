"""Step 0: the scores that training has to beat."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from ccpdml import files
from ccpdml.cluster import replicas, strategies
from ccpdml.metrics import gain, names
from ccpdml.training import untrained
from ccpdml.training.callbacks.evaluation import RetrievalEvaluation
from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage

FILE_NAME = "untrained.json"
_WEIGHTS = "weights"  # In the file, the fingerprint of those that were scored.


class UntrainedEvaluation(OuterCallback):
    """Scores what there is before the first step, and sets each evaluation beside it.

    That is what can be used without training (see `models.untrained`): the pooled features of a
    backbone or stored features, by their cosine, else the embeddings. Into the logs go
    `val_untrained_map_at_r` and `val_gain_map_at_r`, what training has added to it. It warns at the
    end of a training of which no evaluation was better.

    Args:
        evaluations: a `RetrievalEvaluation` of each part of the data to score, by its name, such
            as "validation" and "test"; the logs are of the first, with its prefix. They are only
            read.
        path: the file that keeps the scores, so that a run that goes on does not compute them
            again; None keeps none.

    Attributes:
        scores: dict with `measured`, what was scored, and the scores of each part; None before,
            and of a learner that was trained before this callback came to it.
    """

    stage = Stage.WATCH

    def __init__(
        self, evaluations: Mapping[str, RetrievalEvaluation], path: str | Path | None = None
    ):
        super().__init__()
        if not evaluations:
            raise ValueError(f"`evaluations` must hold at least one. Received: {evaluations=}")
        self.evaluations = dict(evaluations)
        self.path = None if path is None else Path(path)
        self.scores: dict[str, Any] | None = None
        self.best: float | None = None

    def measure(self, learner: tf.keras.Model, goes_on: bool = False) -> dict[str, Any] | None:
        """Returns `scores`, measured now unless they are known; called by all workers.

        Args:
            learner: a compiled `MetricLearner` before its first step; of another, whose scores are
                in no file, nothing can be said any more.
            goes_on: whether it will be given the weights of a run that stopped, which are not
                those that the scores are of. Otherwise scores of other weights, such as of a
                preset that has changed, are measured anew.

        Raises:
            ValueError: if the file is damaged.
        """
        strategy = learner.distribute_strategy
        self.scores = self.scores or self._known(learner, goes_on)
        # Measuring takes all workers, and some may see a file of the first one late.
        if replicas.any_worker(self.scores is None, strategy):
            if int(tf.convert_to_tensor(learner.optimizer.iterations)):
                logging.warning(
                    "The learner is trained already, and nothing tells its scores before that."
                )
                return None
            self.scores = self._measured(learner)
        return self.scores

    def _known(self, learner, goes_on):
        """The scores that the file keeps, if they are of this learner."""
        text = self.path.read_text(errors="replace") if self.path and self.path.exists() else None
        scores, weights = (None, None) if text is None else self._parsed(text)
        if weights is None or goes_on or int(tf.convert_to_tensor(learner.optimizer.iterations)):
            return scores
        if weights == untrained.fingerprint(untrained.of(learner)[0]):
            return scores
        logging.warning(
            "%s has the scores of other weights than this run begins with: the file or preset that "
            "they come from has changed. They are measured anew.",
            self.path,
        )
        return None

    def _measured(self, learner):
        model, measured = untrained.of(learner)
        scores = {"measured": measured}
        for part, evaluation in self.evaluations.items():
            # A copy: its embeddings are of no use later, and may be large.
            scores[part] = copy.copy(evaluation).evaluate(model)
            logging.info(
                "Before training, %s classes: %s, by %s", part, _told(scores[part]), measured
            )
        if self.path is not None and strategies.is_chief(learner.distribute_strategy):
            kept = scores | {_WEIGHTS: untrained.fingerprint(model)}
            files.write_text(self.path, json.dumps(kept, indent=1) + "\n")
        return scores

    def _parsed(self, text):
        """Scores and the fingerprint of the weights that they are of; None if it is not told."""
        try:
            kept = json.loads(text)
            parts = {part: dict(kept[part]) for part in self.evaluations}
            return {"measured": str(kept["measured"])} | parts, kept.get(_WEIGHTS)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path}: expected the scores before training, as this program wrote them. "
                "Remove the file: a run that begins anew, or goes on, measures them again. "
                f"Received: {text[:80]!r}"
            ) from error

    def on_train_begin(self, logs=None):
        self.best = None
        self.measure(self.model)
        self.is_whole = not self.steps_done

    def on_epoch_end(self, epoch, logs=None):
        part, evaluation = next(iter(self.evaluations.items()))
        prefix, key = evaluation.prefix, gain.DECIDES
        if self.scores is None or logs is None or prefix + key not in logs:
            return
        before, now = self.scores[part][key], logs[prefix + key]
        logs |= {f"{prefix}untrained_{key}": before, f"{prefix}gain_{key}": now - before}
        self.best = now if self.best is None else max(self.best, now)

    def on_train_end(self, logs=None):
        # Of a training that went on, earlier evaluations are not known here.
        if self.scores is None or self.best is None or not self.is_whole:
            return
        best = {next(iter(self.evaluations)): {gain.DECIDES: self.best}}
        for alarm in gain.alarms(best, self.scores).values():
            logging.warning("%s", alarm)


def _told(scores):
    return ", ".join(f"{names.label(key)} {100 * scores[key]:.1f} %" for key in names.LABELS)
