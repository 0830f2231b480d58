"""Preparation of a recipe on a machine: strategy, splits, batches."""

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ccpdml.cluster import strategies
from ccpdml.data import identity, pipelines
from ccpdml.data.image_set import ImageSet
from ccpdml.data.samplers import Sampler
from ccpdml.runs.recipe import Recipe
from ccpdml.training import RetrievalEvaluation


class Preparation:
    """The data of a run, ready to be trained on; nothing is built yet.

    Args:
        recipe: the `Recipe`.

    Attributes:
        strategy: the `tf.distribute.Strategy`.
        splits: `data.Splits`.
        data: what tells these data from others, see `data.identity`.
        classes_per_batch, samples_per_class: what the global batch is made of, ints.
        batch_size: images of it, int.
        sampler: which images these are.

    Raises:
        ValueError: on data and settings that do not go together.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        # Before anything else: a multi-worker strategy must be there before the first op.
        self.strategy = strategies.by_name(recipe.machine.strategy)
        if recipe.machine.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.training_view = recipe.data.training_view()
        self.evaluation_view = recipe.data.evaluation_view()
        self.splits = recipe.data.load()
        self.data = identity.of(self.splits)
        _check_selection(recipe.data.select_on, self.splits)
        train = self.splits.train
        self.classes_per_batch = recipe.batches.classes_per_batch or min(8, train.num_classes)
        self.samples_per_class = recipe.batches.samples_per_class
        self.batch_size = self.classes_per_batch * self.samples_per_class
        make, sizes = recipe.batches.sampler, (self.classes_per_batch, self.samples_per_class)
        categories = {"categories": train.categories} if takes(make, "categories") else {}
        self.sampler = make(train.all_labels, *sizes, recipe.schedule.seed, **categories)
        self._check_batch()

    def _check_batch(self):
        sampler = self.sampler
        if not isinstance(sampler, Sampler) or sampler.batch_size != self.batch_size:
            raise ValueError(
                "`train.sampler` must make a `data.samplers.Sampler` with the `batch_size` "
                f"{self.batch_size}, `train.classes_per_batch` times `train.samples_per_class`. "
                f"Received: {type(sampler).__name__}"
            )
        num_replicas = self.strategy.num_replicas_in_sync
        if self.batch_size % num_replicas:
            raise ValueError(
                f"The global batch of {self.batch_size} images cannot be shared by "
                f"{num_replicas} replicas; change `train.classes_per_batch`."
            )

    def batches(self, first_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The batches from `first_step` on, or of each the slice of one worker."""
        return pipelines.training_batches(
            self.splits.train,
            self.sampler,
            self.training_view,
            seed=self.recipe.schedule.seed,
            first_step=first_step,
            num_steps=self.recipe.schedule.steps - first_step,
            shard=shard,
        )

    def distributed_batches(self, first_step: int) -> tf.data.Dataset:
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

    def evaluation(
        self, queries: ImageSet, gallery: ImageSet | None = None, **kwargs
    ) -> RetrievalEvaluation:
        """Builds the evaluation of an `ImageSet` in itself, or in a gallery."""
        size = self.recipe.batches.evaluation_batch_size
        data = [
            (pipelines.image_batches(s, self.evaluation_view, size), s.all_labels)
            for s in (queries, gallery)
            if s is not None
        ]
        return self.recipe.schedule.evaluation(*data, **kwargs)

    def test_evaluation(self) -> RetrievalEvaluation:
        """Builds the evaluation of the test classes that results are of."""
        return self.evaluation(
            self.splits.test,
            self.splits.gallery,
            recall_at=tuple(self.recipe.schedule.recall_at),
            progress=True,
        )

    def selection(self) -> RetrievalEvaluation:
        """Builds the evaluation whose scores choose the best weights."""
        validation = self.splits.validation
        if validation is None:  # Selected on test classes: `_check_selection`.
            return self.evaluation(self.splits.test, self.splits.gallery)
        return self.evaluation(validation)


def takes(configurable: Callable[..., Any], name: str) -> bool:
    """Tells whether a class or function has an argument of a name."""
    target = configurable.__init__ if inspect.isclass(configurable) else configurable
    return name in inspect.signature(target).parameters


def _check_selection(select_on, splits):
    if (select_on == "test") != (splits.validation is None):
        raise ValueError(
            "Bind `data.load.num_folds = 1` and `train.select_on = 'test'` together, or neither: "
            "without validation classes the best weights can only be selected on the test "
            "classes, which flatters the scores (`gin/protocols/conventional.gin` asks for it). "
            f"Received: {select_on=}, {splits.info.get('num_folds')} fold(s)"
        )
