"""The door for gin: a run of `experiments/run.py`, from bindings to a run directory."""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import gin
import tensorflow as tf

from ccpdml import config, files, training
from ccpdml.bounds import Count, Seed, checked
from ccpdml.cluster import replicas, strategies
from ccpdml.config import ConfigError
from ccpdml.data import samplers, views
from ccpdml.data.image_set import ImageSet, Splits
from ccpdml.runs import assembly, claims, identity, planning, recipe, results
from ccpdml.runs.preparation import Preparation
from ccpdml.runs.run import Run


@gin.configurable("train")
@checked
def bound(
    data: Callable[[], Splits] = gin.REQUIRED,
    encoder: Callable[[tuple[int, ...]], tf.keras.Model] = gin.REQUIRED,
    criterion: Callable[..., tf.keras.layers.Layer] = gin.REQUIRED,
    optimizer: Callable[[], tf.keras.optimizers.Optimizer] = gin.REQUIRED,
    steps: Count = gin.REQUIRED,
    evaluate_every: Count = gin.REQUIRED,
    classes_per_batch: Count | None = None,
    samples_per_class: Count = 4,
    learner: Callable[..., training.MetricLearner] = training.MetricLearner,
    preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
    training_view: Callable[[], views.View] = views.Plain,
    evaluation_view: Callable[[], views.View] = views.Plain,
    reinitialization: Callable[[training.Pool], training.ProxyReinitialization] | None = None,
    pool: Callable[..., training.PoolDraw] | None = None,
    early_stopping: Callable[[], training.EarlyStopping] = training.EarlyStopping,
    checkpoint_every: Count | None = None,
    steps_per_loop: Count | None = None,
    evaluation_batch_size: Count = 256,
    recall_at: Sequence[Count] = (2, 4, 8),
    evaluate_untrained: bool = True,
    select_on: Literal["validation", "test"] = "validation",
    seed: Seed = 0,
    strategy: Literal["auto", "default", "mirrored", "multi_worker"] = "auto",
    deterministic: bool = False,
    precision: str = "float32",
    tensorboard: bool | Callable[[Path], tf.keras.callbacks.Callback] = True,
    tracker: Callable[[Path], training.Tracker] | None = None,
    callbacks: Sequence[recipe.MakesCallback] | Mapping[str, recipe.MakesCallback] = (),
    sampler: Callable[..., samplers.Sampler] = samplers.ClassBalancedSampler,
    evaluation: Callable[..., training.RetrievalEvaluation] = training.RetrievalEvaluation,
    checkpoint: Callable[..., training.Checkpoint] = training.Checkpoint,
) -> recipe.Recipe:
    """The recipe of a run, of what is bound to `train`.

    Args:
        data: function without arguments -> `data.Splits`.
        encoder: function of `input_shape` -> Keras model, images -> embeddings.
        criterion: class or function -> `losses.Criterion`; `num_classes` is given if it takes it.
        optimizer: class or function without arguments -> Keras optimizer.
        steps: gradient steps of the run, int.
        evaluate_every: steps between two evaluations (an epoch of `fit`), int.
        classes_per_batch: classes in the global batch (P), int; None is 8, or all there are.
        samples_per_class: images of each (M), int.
        learner: class or function of (encoder, criterion, preprocess=...) -> `MetricLearner`.
        preprocess: function of an image batch, run on the device; None takes the encoder's own,
            `encoder.preprocess`, or images as they are.
        training_view: class or function without arguments -> view of images in training.
        evaluation_view: likewise in evaluation and in a pool that is not augmented.
        reinitialization: class or function of `draw_pool` -> `ProxyReinitialization`; None keeps
            the criterion as it is built.
        pool: class or function of (learner, image_set, plain_view=..., training_view=...,
            seed=...) -> `PoolDraw`; needed with `reinitialization`.
        early_stopping: class or function without arguments -> `EarlyStopping`.
        checkpoint_every: evaluations between two checkpoints, int; None leaves it to `checkpoint`.
        steps_per_loop: steps in one call of the compiled inner loop; None is `evaluate_every`,
            at most 25.
        evaluation_batch_size: images embedded at a time, int.
        recall_at: further R@K of the test, ints.
        evaluate_untrained: whether validation and test classes are scored before the first step
            too, by what can be used without training, to be set beside the trained scores.
        select_on: "validation" classes choose the best weights and end problem instances; "test"
            classes only where every development class trains (`data.load.num_folds = 1`): the
            conventional protocol, whose scores flatter and are stamped with it.
        seed: of weights, sampling, augmentation and pools, int.
        strategy: "default", "mirrored", "multi_worker", or "auto" to go by what there is
            (`strategies.by_name`).
        deterministic: whether every op is made to give the same bits each time, at some cost in
            speed; then a run that was stopped and resumed ends as one that was not, to the bit.
        precision: "float32" or "mixed_bfloat16"; from the embedding on all is float32.
        tensorboard: whether `logs/tensorboard/` is written: scalars, the test embeddings with
            their images, settings with test scores; or the class or function of a directory that
            writes the scalars.
        tracker: class or function of the run directory -> `training.Tracker`, such as
            `WandbTracker` and `MlflowTracker`, which is told of the run; None has none.
        callbacks: classes or functions without arguments -> further Keras callbacks: a tuple, or
            a dict of them by names of their own, which two of one class need; see
            `training.OuterLoop` for when they act.
        sampler: class or function of (labels, classes_per_batch, samples_per_class, seed) ->
            `ClassBalancedSampler`, or another `data.samplers.Sampler` of batches of that size;
            `categories`, those of the classes, are given if it takes them.
        evaluation: class or function of (queries[, gallery], ...) -> `RetrievalEvaluation`.
        checkpoint: class or function of a directory -> `Checkpoint`.

    Raises:
        ValueError: on anything in the configuration that cannot be run.
    """
    given = {name: config.bindable(value) for name, value in locals().items()}
    given["load"] = given["data"]
    groups = {
        name: group(**{n: given[n] for n in _names(group) if n in given})
        for name, group in typing.get_type_hints(recipe.Recipe).items()
    }
    return recipe.Recipe(**groups)


class Experiment:
    """One training run in a directory, made of what is bound to `train`.

    Args:
        run_dir: folder that receives everything; the same command resumes, another is refused.

    Raises:
        ValueError: on anything in the configuration that cannot be run.
    """

    def __init__(self, run_dir: str | Path):
        self.recipe = bound()
        self.prepared = Preparation(self.recipe)
        self.strategy, self.data = self.prepared.strategy, self.prepared.data
        self.run_dir = Path(run_dir)
        self.output_dir = Path(strategies.output_directory(self.strategy, run_dir))

    def build(self) -> tuple[training.MetricLearner, training.OuterLoop]:
        """Builds learner and outer loop; returns both."""
        run = self.assemble()
        return run.learner, run.outer

    def assemble(self) -> Run:
        """Builds the run.

        Raises:
            ConfigError: if something is bound that the run itself says.
        """
        run = assembly.build(self.prepared, self.run_dir, self.output_dir)
        config.refuse_overridden()
        return run

    @property
    def splits(self) -> Splits:
        """The data."""
        return self.prepared.splits

    @property
    def steps_per_epoch(self) -> int:
        """Steps between two evaluations."""
        return self.recipe.schedule.steps_per_epoch

    def batches(self, first_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The batches from `first_step` on, or of each the slice of one worker."""
        return self.prepared.batches(first_step, shard)

    def evaluation(
        self, queries: ImageSet, gallery: ImageSet | None = None, **kwargs
    ) -> training.RetrievalEvaluation:
        """Builds the evaluation of an `ImageSet` in itself, or in a gallery."""
        return self.prepared.evaluation(queries, gallery, **kwargs)

    def plan(self) -> list[str]:
        """Describes the run without training: lines of text.

        Raises:
            ConfigError: if the directory holds a run of another configuration or on other data.
        """
        claims.refuse_other(self.run_dir, self.data, self._identity())
        return planning.plan(self.assemble(), self.run_dir, self.state)

    @property
    def is_finished(self) -> bool:
        """Tells whether the run directory holds the finished run, which is only read."""
        return results.are_in(self.run_dir)

    @property
    def state(self) -> str:
        """Content of the run directory, in words."""
        if self.is_finished:
            return "where this run is finished: its results are shown, nothing is written"
        if any((self.run_dir / "checkpoints").glob("ckpt-*.index")):
            return "where a run stopped, which goes on"
        if (self.run_dir / results.FILE_NAME).exists():
            return "where the scores before training are known, and training begins"
        return "a new run"

    def run(self) -> dict[str, Any]:
        """Trains, or goes on where a run stopped, and returns the results.

        The results of a finished run are read; nothing is trained or written.

        Raises:
            ConfigError: if the directory holds a run of another configuration or on other data.
            RunActiveError: if another process is at work in it.
            UnreadableFileError: at a file of the data set that cannot be read.
        """
        return self._in_directory(self._run)

    def baseline(self) -> dict[str, Any]:
        """Scores what there is before training, trains nothing, and returns the results.

        `results.json` then says `"trained": false`; `run` goes on from there. That of a finished
        run is read, and stays.

        Raises:
            ConfigError: as `run`, and if `train.evaluate_untrained` is False.
            RunActiveError: if another process is at work in the directory.
            UnreadableFileError: at a file of the data set that cannot be read.
        """
        if not self.recipe.schedule.evaluate_untrained:
            raise ConfigError(
                "To score what there is before training, `train.evaluate_untrained` must be True. "
                "Received: train.evaluate_untrained=False"
            )
        return self._in_directory(self._score_untrained)

    def _in_directory(self, work):
        """Does something with the built run while the directory is its own."""
        if self.is_finished:
            return self._read()
        if self.run_dir.is_file():
            raise ConfigError(
                f"{self.run_dir} must be a folder, and is a file. Choose another --run_dir."
            )
        with claims.occupied(self.output_dir):
            if self.is_finished:  # By a process that held the lock until now.
                return self._read()
            claims.refuse_other(self.run_dir, self.data, self._identity())
            run = self.assemble()  # What cannot be built leaves the directory to others.
            claims.settle(self.run_dir, self.output_dir, self.data, self.strategy, self._identity())
            return work(run)

    def _identity(self):
        return identity.of(self.recipe)

    def _read(self):
        claims.refuse_other(self.run_dir, self.data, self._identity())
        self._wait_for_all()
        return results.read(self.run_dir)

    def _wait_for_all(self):
        """Waits until no other worker needs what this one has to give."""
        replicas.any_worker(False, self.strategy)

    def _score_untrained(self, run):
        written = results.write_untrained(run.measure_untrained(), self.splits, self.output_dir)
        self._wait_for_all()
        return written

    def _run(self, run):
        files.write_text(self.output_dir / "operative_config.gin", gin.operative_config_str())
        trained = run.train()
        # First: whatever fails from here on, nothing that was trained is lost.
        results.write_encoder(trained.encoder, trained.description, self.output_dir)
        finished = run.score(trained)
        draws = strategies.is_chief(self.strategy)
        written = results.write_scores(finished, self.output_dir, draws)
        for callback in run.outer:
            if isinstance(callback, training.Tracker):
                callback.finish(written)
        self._wait_for_all()
        return written


def _names(group):
    return [field.name for field in dataclasses.fields(group)]
