"""A whole run: data, learner, outer loop, results. What `experiments/run.py` starts."""

import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import gin
import tensorflow as tf
from absl import logging

from ccpdml import files
from ccpdml.bounds import Count, Seed, checked
from ccpdml.config import ConfigError
from ccpdml.data import identity, pipelines, samplers, views
from ccpdml.data.image_set import ImageSet
from ccpdml.ops import replicas
from ccpdml.training import claims, lock, replay, results, shared_directory, stating, strategies
from ccpdml.training.checkpoint import Checkpoint
from ccpdml.training.collapse_alarm import CollapseAlarm
from ccpdml.training.early_stopping import EarlyStopping
from ccpdml.training.evaluation import RetrievalEvaluation
from ccpdml.training.history import History, ProgressBar
from ccpdml.training.learner import MetricLearner
from ccpdml.training.loop import NonFiniteLossError
from ccpdml.training.outer_loop import OuterLoop
from ccpdml.training.preemption import Preemption
from ccpdml.training.proxy_record import ProxyRecord
from ccpdml.training.tensorboard import TensorBoardScalars


@gin.configurable("train")
class Experiment:
    """One training run, from its configuration to its results.

    Args:
        run_dir: folder that receives everything; the same command resumes, another is refused.
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
        checkpoint_every: evaluations between two checkpoints, int.
        steps_per_loop: steps in one call of the compiled inner loop; None is `evaluate_every`,
            at most 25.
        evaluation_batch_size: images embedded at a time, int.
        recall_at: further R@K of the test, ints.
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
            their images, settings with test scores.

    Raises:
        ValueError: on anything in the configuration that cannot be run.
    """

    @checked
    def __init__(
        self,
        run_dir: str | Path,
        data: Callable = gin.REQUIRED,
        encoder: Callable = gin.REQUIRED,
        criterion: Callable = gin.REQUIRED,
        optimizer: Callable = gin.REQUIRED,
        steps: Count = gin.REQUIRED,
        evaluate_every: Count = gin.REQUIRED,
        classes_per_batch: Count | None = None,
        samples_per_class: Count = 4,
        learner: Callable = MetricLearner,
        preprocess: Callable | None = None,
        training_view: Callable = views.Plain,
        evaluation_view: Callable = views.Plain,
        reinitialization: Callable | None = None,
        pool: Callable | None = None,
        early_stopping: Callable = EarlyStopping,
        checkpoint_every: Count = 1,
        steps_per_loop: Count | None = None,
        evaluation_batch_size: Count = 256,
        recall_at: Sequence[Count] = (2, 4, 8),
        select_on: Literal["validation", "test"] = "validation",
        seed: Seed = 0,
        strategy: Literal["auto", "default", "mirrored", "multi_worker"] = "auto",
        deterministic: bool = False,
        precision: str = "float32",
        tensorboard: bool = True,
    ):
        if (reinitialization is None) != (pool is None):
            raise ValueError("Bind `train.reinitialization` and `train.pool` together.")
        # Before anything else: a multi-worker strategy must be there before the first op.
        self.strategy = strategies.by_name(strategy)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        self.run_dir = Path(run_dir)
        self.output_dir = Path(strategies.output_directory(self.strategy, run_dir))
        self.seed = seed
        self.steps = steps
        self.steps_per_epoch = min(evaluate_every, steps)
        self.steps_per_loop = steps_per_loop or _largest_divisor(self.steps_per_epoch, 25)
        if self.steps_per_epoch % self.steps_per_loop:
            raise ValueError(
                "`train.evaluate_every` must be a multiple of `train.steps_per_loop`. Received: "
                f"evaluate_every={evaluate_every}, steps_per_loop={steps_per_loop}"
            )
        self.make_encoder, self.make_criterion = encoder, criterion
        self.make_optimizer, self.make_learner = optimizer, learner
        self.make_reinitialization, self.make_pool = reinitialization, pool
        self.make_early_stopping = early_stopping
        self.preprocess = preprocess
        self.training_view, self.evaluation_view = training_view(), evaluation_view()
        self.checkpoint_every = checkpoint_every
        self.evaluation_batch_size = evaluation_batch_size
        self.recall_at = tuple(recall_at)
        self.precision = _checked_precision(precision)
        self.tensorboard = tensorboard
        self.splits = data()
        self.data = identity.of(self.splits)
        self.select_on = _checked_selection(select_on, self.splits)
        classes_per_batch = classes_per_batch or min(8, self.splits.train.num_classes)
        self.sampler = samplers.ClassBalancedSampler(
            self.splits.train.labels, classes_per_batch, samples_per_class, seed
        )
        self.batch_size = classes_per_batch * samples_per_class
        self._check_batch()

    def _check_batch(self):
        num_replicas = self.strategy.num_replicas_in_sync
        if self.batch_size % num_replicas:
            raise ValueError(
                f"The global batch of {self.batch_size} images cannot be shared by "
                f"{num_replicas} replicas; change `train.classes_per_batch`."
            )

    def build(self) -> tuple[MetricLearner, OuterLoop]:
        """Builds learner and outer loop; returns both."""
        tf.keras.utils.set_random_seed(self.seed)
        with self.strategy.scope():
            learner = self._build_learner()
        selection = self.evaluation(*self._selection())
        logs = self.output_dir / "logs"
        callbacks = [selection, CollapseAlarm(selection), self.make_early_stopping()]
        if self.make_reinitialization:
            proxies = self.make_reinitialization(self._build_pool(learner))
            callbacks += [proxies, ProxyRecord(proxies, logs / "proxies")]
        if self.tensorboard:
            callbacks.append(TensorBoardScalars(logs / "tensorboard"))
        callbacks.append(History(logs / "history.jsonl"))
        checkpoint = Checkpoint(self.run_dir / "checkpoints", every=self.checkpoint_every)
        label = "test MAP@R" if self.select_on == "test" else "val MAP@R"
        progress = ProgressBar(self.steps, label=label)
        return learner, OuterLoop([*callbacks, checkpoint, Preemption(checkpoint), progress])

    def _selection(self):
        """Queries, and gallery or None, whose scores choose the best weights."""
        if self.select_on == "test":
            return self.splits.test, self.splits.gallery
        return self.splits.validation, None

    def _build_learner(self):
        input_shape = self.batches(0).element_spec[0].shape[1:]
        criterion = _with_classes(self.make_criterion, self.splits.train.num_classes)
        tf.keras.mixed_precision.set_global_policy(self.precision)
        encoder = self.make_encoder(tuple(input_shape))
        tf.keras.mixed_precision.set_global_policy("float32")  # Each layer keeps its own.
        preprocess = _agreed(self.preprocess, getattr(encoder, "preprocess", None))
        learner = self.make_learner(encoder, criterion, preprocess=preprocess)
        learner.compile(self.make_optimizer(), steps_per_execution=self.steps_per_loop)
        self._check_pairs(learner.criterion)
        return learner

    def _check_pairs(self, criterion):
        classes, samples = self.sampler.classes_per_batch, self.sampler.samples_per_class
        if criterion.needs_pairs and min(classes, samples) < 2:
            raise ValueError(
                f"{type(criterion).__name__} compares images of a batch with each other: without "
                "two images of a class nothing attracts, without two classes nothing repels. "
                "`train.classes_per_batch` and `train.samples_per_class` must be at least 2. "
                f"Received: classes_per_batch={classes}, samples_per_class={samples}"
            )

    def _build_pool(self, learner):
        pool = self.make_pool(
            learner,
            self.splits.train,
            plain_view=self.evaluation_view,
            training_view=self.training_view,
            seed=self.seed,
        )
        proxies_per_class = learner.criterion.head.proxies_per_class
        if pool.pool_size < proxies_per_class:
            raise ValueError(
                "`PoolDraw.pool_size` must be at least the proxies per class, which are picked "
                f"from it. Received: pool_size={pool.pool_size}, {proxies_per_class=}"
            )
        return pool

    def _distributed_batches(self, first_step):
        """The batches from `first_step` on; each worker decodes its own slice of them only."""
        if self.strategy.num_replicas_in_sync == 1:
            # Of unknown length: Keras 3 would count the skipped steps of a resumed epoch against
            # a known one, and begin the data anew too early.
            return self.batches(first_step).take_while(lambda *_: True)

        def of_pipeline(context):
            shard = (context.input_pipeline_id, context.num_input_pipelines)
            return self.batches(first_step, shard).rebatch(
                context.get_per_replica_batch_size(self.batch_size)
            )

        return self.strategy.distribute_datasets_from_function(of_pipeline)

    def batches(self, first_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The batches from `first_step` on, or of each the slice of one worker."""
        return pipelines.training_batches(
            self.splits.train,
            self.sampler,
            self.training_view,
            seed=self.seed,
            first_step=first_step,
            num_steps=self.steps - first_step,
            shard=shard,
        )

    def evaluation(
        self, queries: ImageSet, gallery: ImageSet | None = None, **kwargs
    ) -> RetrievalEvaluation:
        """Builds the `RetrievalEvaluation` of an `ImageSet` in itself, or in a gallery."""
        data = [
            (pipelines.image_batches(s, self.evaluation_view, self.evaluation_batch_size), s.labels)
            for s in (queries, gallery)
            if s is not None
        ]
        return RetrievalEvaluation(*data, **kwargs)

    def plan(self) -> list[str]:
        """Describes the run without training: lines of text.

        Raises:
            ConfigError: if the directory holds a run of another configuration or on other data.
        """
        claims.refuse_other(self.run_dir, self.data)
        learner, _ = self.build()
        train, validation, test = self.splits.train, self.splits.validation, self.splits.test
        weights = sum(int(tf.size(v)) for v in learner.encoder_weights)
        proxies = sum(int(tf.size(v)) for v in learner.criterion_weights)
        sets = {"train": train, "validation": validation, "test": test}
        lines = [f"data        {self.data['root'] or 'images in memory'}"]
        lines += [
            f"{name:<12}{s.num_classes:>7} classes {len(s):>8} images"
            for name, s in sets.items()
            if s is not None
        ]
        lines += [
            f"batch       {self.sampler.classes_per_batch} classes x "
            f"{self.sampler.samples_per_class} images on {self.strategy.num_replicas_in_sync} "
            "replica(s)",
            f"selection   on {self.select_on} classes",
            f"steps       {self.steps}, evaluated every {self.steps_per_epoch}",
            f"weights     {weights:,} of the encoder, {proxies:,} of the criterion",
            f"directory   {self.run_dir}, {self.state}",
        ]
        # Weight, gradient, two moments; the copies are prox center, best of instance, best of run.
        copies = 4 + (3 if self.make_reinitialization else 1)
        lines.append(
            f"memory      {4 * copies * (weights + proxies) / 2**20:.0f} MiB of weights, "
            "moments and copies, and the activations of a batch"
        )
        if self.make_reinitialization:
            pool = self._build_pool(learner).pool_size
            lines.append(
                f"pool        {pool} images x {train.num_classes} classes = "
                f"{pool * train.num_classes:,} embedded per problem instance"
            )
        return lines

    @property
    def is_finished(self) -> bool:
        """Whether the run directory holds the finished run, which is only read."""
        return results.are_in(self.run_dir)

    @property
    def state(self) -> str:
        """What the run directory holds, in words."""
        if self.is_finished:
            return "where this run is finished: its results are shown, nothing is written"
        if any((self.run_dir / "checkpoints").glob("ckpt-*.index")):
            return "where a run stopped, which goes on"
        return "a new run"

    def run(self) -> dict:
        """Trains, or goes on where a run stopped, and returns the results.

        The results of a finished run are read; nothing is trained or written.

        Raises:
            ConfigError: if the directory holds a run of another configuration or on other data.
            RunActiveError: if another process is at work in it.
            UnreadableFileError: at a file of the data set that cannot be read.
        """
        if self.is_finished:
            return self._read()
        if self.run_dir.is_file():
            raise ConfigError(
                f"{self.run_dir} must be a folder, and is a file. Choose another --run_dir."
            )
        self.output_dir.mkdir(parents=True, exist_ok=True)
        with (
            lock.held(self.output_dir),
            strategies.telling_lost_workers(),
            pipelines.telling_unreadable_files(),
        ):
            if self.is_finished:  # By a process that held the lock until now.
                return self._read()
            claims.make(self.run_dir, self.output_dir, self.data)
            shared_directory.check(self.run_dir, self.strategy)
            claims.refuse_other(self.run_dir, self.data)  # Than what the first worker wrote.
            return self._run()

    def _read(self):
        claims.refuse_other(self.run_dir, self.data)
        self._wait_for_all()
        return results.read(self.run_dir)

    def _wait_for_all(self):
        """No worker leaves while another may still wait for what it has to give."""
        replicas.any_worker(False, self.strategy)

    def _run(self):
        started = time.monotonic()
        learner, outer = self.build()
        files.write_text(self.output_dir / "operative_config.gin", gin.operative_config_str())
        epochs_done, steps_done = outer.restore(learner)
        if steps_done:
            logging.info("Going on from step %d of %s", steps_done, self.run_dir)
        epochs = -(-self.steps // self.steps_per_epoch)
        is_over = outer.is_over or epochs_done >= epochs
        if not is_over and (self.run_dir / results.ENCODER).exists():
            raise ConfigError(
                f"{self.run_dir} holds {results.ENCODER} of a run that was trained to its end, but "
                "not the checkpoint to score it from, and it would be trained anew. Bring the "
                "checkpoints back, move the file away, or choose another --run_dir."
            )
        try:
            outer.fit(learner, self._distributed_batches, self.steps_per_epoch, epochs)
        except NonFiniteLossError as error:
            folder = replay.write(self, outer.checkpoint, error.step)
            error.add_note(replay.note(folder))
            raise
        fold = self.splits.info.get("fold")
        ran = stating.statement(learner, list(outer), self.seed, fold)
        seconds = time.monotonic() - started
        written = results.write(self, learner, ran, outer.first(EarlyStopping).best_step, seconds)
        self._wait_for_all()
        return written


def _with_classes(configurable, num_classes):
    """Calls a class or function, with the number of classes if it takes that."""
    target = configurable.__init__ if inspect.isclass(configurable) else configurable
    if "num_classes" in inspect.signature(target).parameters:
        return configurable(num_classes=num_classes)
    return configurable()


def _agreed(bound, own):
    """The preprocessing that was bound, or the network's own; they may not differ."""
    if bound and own and inspect.unwrap(bound) is not inspect.unwrap(own):
        raise ValueError(
            f"The network takes images as {inspect.unwrap(own).__name__} makes them; "
            "`train.preprocess = None` leaves it to the network. Received: "
            f"train.preprocess=@{inspect.unwrap(bound).__name__}"
        )
    return bound or own


def _checked_selection(select_on, splits):
    if (select_on == "test") != (splits.validation is None):
        raise ValueError(
            "Bind `data.load.num_folds = 1` and `train.select_on = 'test'` together, or neither: "
            "without validation classes the best weights can only be selected on the test "
            "classes, which flatters the scores (`gin/protocols/conventional.gin` asks for it). "
            f"Received: {select_on=}, {splits.info['num_folds']} fold(s)"
        )
    return select_on


def _checked_precision(precision):
    if precision not in ("float32", "mixed_bfloat16"):
        raise ValueError(
            '`train.precision` must be "float32" or "mixed_bfloat16". "mixed_float16" would need '
            "gradients scaled against underflow, which the prox term, weight decay and clipping "
            f"do not allow for. Received: {precision=}"
        )
    return precision


def _largest_divisor(number, limit):
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
