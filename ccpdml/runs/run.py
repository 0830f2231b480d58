"""A run that is built: trained, then scored."""

import time
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from ccpdml import models, training
from ccpdml.config import ConfigError
from ccpdml.data.image_set import Splits
from ccpdml.runs import claims, identity, replay, results, statement
from ccpdml.runs.finished import Finished, Scored, Trained
from ccpdml.runs.preparation import Preparation
from ccpdml.serving import description
from ccpdml.training import evaluation


class Run:
    """A learner, its data, and its outer loop; what `assemble` returns.

    Args:
        prepared: data and strategy.
        learner: the compiled `MetricLearner`.
        outer: the `OuterLoop`.
        run_dir: where it goes on from, and keeps what it needs for that; or None.
        output_dir: where this process writes: the same, except in another worker than the first.
    """

    def __init__(
        self,
        prepared: Preparation,
        learner: tf.keras.Model,
        outer: training.OuterLoop,
        run_dir: Path | None = None,
        output_dir: Path | None = None,
    ):
        self.prepared, self.learner, self.outer = prepared, learner, outer
        self.run_dir, self.output_dir = run_dir, output_dir

    @property
    def splits(self) -> Splits:
        """The data."""
        return self.prepared.splits

    def fit(self) -> Finished:
        """Trains to the end, or goes on where the run directory says, and scores the best weights.

        Raises:
            ConfigError: if the run directory is that of another run.
            RunActiveError: if another process is at work in it.
            NonFiniteLossError: at a loss or gradient that is not finite.
        """
        if self.run_dir is None or self.output_dir is None:
            return self.score(self.train())
        prepared = self.prepared
        with claims.occupied(self.output_dir):
            claims.settle(
                self.run_dir,
                self.output_dir,
                prepared.data,
                prepared.strategy,
                identity.of(prepared.recipe),
            )
            return self.score(self.train())

    def train(self) -> Trained:
        """The first half of `fit`; hold the directory of the run meanwhile (`claims.occupied`)."""
        started = time.monotonic()
        schedule = self.prepared.recipe.schedule
        untrained = self.measure_untrained()  # Before other weights are put back.
        epochs_done, steps_done = self.outer.restore(self.learner)
        if steps_done:
            logging.info("Going on from step %d of %s", steps_done, self.run_dir)
        if self.run_dir and not (self.outer.is_over or epochs_done >= schedule.epochs):
            _refuse_to_lose(self.run_dir)
        batches = self.prepared.distributed_batches
        try:
            told = self.outer.fit(self.learner, batches, schedule.steps_per_epoch, schedule.epochs)
        except training.NonFiniteLossError as error:
            if self.output_dir:
                folder = self.output_dir / replay.FOLDER
                replay.write(self, error.step, folder)
                error.add_note(replay.note(folder))
            raise
        return self._trained(self._history(told), untrained, time.monotonic() - started)

    def measure_untrained(self) -> dict[str, Any] | None:
        """The scores before training, as of `UntrainedEvaluation`; None if they are not wanted.

        Call it before `train`; called by all workers.
        """
        name = training.UntrainedEvaluation.__name__
        if name not in self.outer:
            return None
        return self.outer[name].measure(self.learner, goes_on=self._goes_on)

    @property
    def _goes_on(self):
        """Tells whether the run directory has weights that will be put back."""
        return bool(self.run_dir) and any((self.run_dir / "checkpoints").glob("ckpt-*.index"))

    def _history(self, told):
        """A row per evaluation: of the whole run where it was kept, else of this session."""
        if self.output_dir:
            return training.history.read_history(self.output_dir / "logs" / "history.jsonl")
        size = self.prepared.recipe.schedule.steps_per_epoch
        return [
            {"epoch": epoch, "step": (epoch + 1) * size}
            | {name: float(values[i]) for name, values in told.history.items() if i < len(values)}
            for i, epoch in enumerate(told.epoch)
        ]

    def _trained(self, history, untrained, seconds):
        learner, prepared = self.learner, self.prepared
        fold = self.splits.info.get("fold")
        encoder, about = self.standalone()
        return Trained(
            encoder=encoder,
            description=about,
            ran=statement.of(learner, list(self.outer), prepared.recipe.schedule.seed, fold),
            best_step=self.outer.first(training.EarlyStopping).best_step,
            steps=int(tf.convert_to_tensor(learner.optimizer.iterations)),
            history=history,
            seconds=seconds,
            untrained=untrained,
        )

    def standalone(self) -> tuple[tf.keras.Model, dict[str, Any]]:
        """The encoder as it is, as a model of its own, and how an image becomes its input."""
        normalization = self.learner.criterion.normalization
        encoder = models.standalone(self.learner.encoder, normalization)
        view, preprocess = self.prepared.evaluation_view, self.learner.preprocess
        features_of = self.splits.info.get("features_of")
        about = description.describe(encoder, view, preprocess, normalization, features_of)
        return encoder, about

    def score(self, trained: Trained) -> Finished:
        """The second half of `fit`: scores the best weights; called by all workers."""
        prepared, splits, learner = self.prepared, self.splits, self.learner
        test = prepared.test_evaluation()
        scores = test.evaluate(learner)
        validation = None
        if splits.validation is not None:
            validation = prepared.evaluation(splits.validation).evaluate(learner)
        return Finished(
            trained=trained,
            splits=splits,
            data=prepared.data,
            selected_on=prepared.recipe.data.select_on,
            test=Scored(scores, test.query_scores, test.embeddings, test.gallery_embeddings),
            validation=validation,
            train_embeddings=evaluation.embed(learner, prepared.evaluation(splits.train).images),
            proxies=evaluation.proxies(learner),
        )


def _refuse_to_lose(run_dir):
    """Refuses to train anew, for want of its checkpoints, a run that was trained to its end."""
    if (run_dir / results.ENCODER).exists():
        raise ConfigError(
            f"{run_dir} holds {results.ENCODER} of a run that was trained to its end, but "
            "not the checkpoint to score it from, and it would be trained anew. Bring the "
            "checkpoints back, move the file away, or choose another --run_dir."
        )
