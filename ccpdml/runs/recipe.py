"""Recipes: all that a run is made of, plain values and functions to call, in frozen groups."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import tensorflow as tf

from ccpdml import bounds, training
from ccpdml.bounds import Count, Seed
from ccpdml.data import samplers, views
from ccpdml.data.image_set import Splits

MakesCallback = Callable[[], tf.keras.callbacks.Callback]
"""A class or function without arguments that makes a Keras callback."""


@dataclasses.dataclass(frozen=True)
class _Group:
    """Holds every field against its annotation, as `bounds.checked` does for arguments."""

    def __post_init__(self):
        declared = {field.name: field.type for field in dataclasses.fields(self)}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not field.default and not bounds.fits(value, declared[field.name]):
                name = f"{type(self).__name__}.{field.name}"
                raise ValueError(bounds.complaint(name, value, declared[field.name]))


@dataclasses.dataclass(frozen=True)
class Data(_Group):
    """Images, their views, and the classes that choose the weights.

    Attributes:
        load: function without arguments -> `data.Splits`.
        training_view: class or function without arguments -> view of images in training.
        evaluation_view: likewise in evaluation and in a pool that is not augmented.
        select_on: "validation" or "test" classes choose the best weights.
    """

    load: Callable[[], Splits]
    training_view: Callable[[], views.View] = views.Plain
    evaluation_view: Callable[[], views.View] = views.Plain
    select_on: Literal["validation", "test"] = "validation"


@dataclasses.dataclass(frozen=True)
class Model(_Group):
    """Encoder, criterion and optimizer.

    Attributes:
        encoder: function of `input_shape` -> Keras model, images -> embeddings.
        criterion: class or function -> `losses.Criterion`; `num_classes` is given if it takes it.
        optimizer: class or function without arguments -> Keras optimizer.
        learner: class or function of (encoder, criterion, preprocess=...) -> `MetricLearner`.
        preprocess: function of an image batch; None takes the encoder's own, if it has one.
        precision: "float32" or "mixed_bfloat16"; from the embedding on all is float32.
    """

    encoder: Callable[[tuple[int, ...]], tf.keras.Model]
    criterion: Callable[..., tf.keras.layers.Layer]
    optimizer: Callable[[], tf.keras.optimizers.Optimizer]
    learner: Callable[..., training.MetricLearner] = training.MetricLearner
    preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None
    precision: str = "float32"

    def __post_init__(self):
        super().__post_init__()
        if self.precision not in ("float32", "mixed_bfloat16"):
            raise ValueError(
                '`train.precision` must be "float32" or "mixed_bfloat16". "mixed_float16" would '
                "need gradients scaled against underflow, which the prox term, weight decay and "
                f"clipping do not allow for. Received: precision={self.precision!r}"
            )


@dataclasses.dataclass(frozen=True)
class Batches(_Group):
    """Size and choice of the batches.

    Attributes:
        classes_per_batch: classes in the global batch (P), int; None is 8, or all there are.
        samples_per_class: images of each (M), int.
        sampler: class or function of (labels, classes_per_batch, samples_per_class, seed) ->
            a `data.samplers.Sampler` of batches of that size; `categories`, those of the classes,
            are given if it takes them.
        evaluation_batch_size: images embedded at a time, int.
    """

    classes_per_batch: Count | None = None
    samples_per_class: Count = 4
    sampler: Callable[..., samplers.Sampler] = samplers.ClassBalancedSampler
    evaluation_batch_size: Count = 256


@dataclasses.dataclass(frozen=True)
class Schedule(_Group):
    """Length of the run, and callbacks at its evaluations.

    Attributes:
        steps: gradient steps of the run, int.
        evaluate_every: steps between two evaluations (an epoch of `fit`), int.
        steps_per_loop: steps in one call of the compiled inner loop; None is `evaluate_every`, at
            most 25.
        evaluation: class or function of (queries[, gallery], ...) -> `RetrievalEvaluation`.
        early_stopping: class or function without arguments -> `EarlyStopping`.
        reinitialization: class or function of `draw_pool` -> `ProxyReinitialization`, or None.
        pool: class or function -> `PoolDraw`; needed with `reinitialization`.
        callbacks: classes or functions without arguments -> further Keras callbacks: a sequence,
            or a dict of them by names of their own.
        recall_at: further R@K of the test, ints.
        evaluate_untrained: whether what there is before the first step is scored too.
        seed: of weights, sampling, augmentation and pools, int.
    """

    steps: Count
    evaluate_every: Count
    steps_per_loop: Count | None = None
    evaluation: Callable[..., training.RetrievalEvaluation] = training.RetrievalEvaluation
    early_stopping: Callable[[], training.EarlyStopping] = training.EarlyStopping
    reinitialization: Callable[[training.Pool], training.ProxyReinitialization] | None = None
    pool: Callable[..., training.PoolDraw] | None = None
    callbacks: Sequence[MakesCallback] | Mapping[str, MakesCallback] = ()
    recall_at: Sequence[Count] = (2, 4, 8)
    evaluate_untrained: bool = True
    seed: Seed = 0

    def __post_init__(self):
        super().__post_init__()
        if (self.reinitialization is None) != (self.pool is None):
            raise ValueError("Bind `train.reinitialization` and `train.pool` together.")
        if self.steps_per_epoch % self.steps_in_loop:
            raise ValueError(
                "`train.evaluate_every` must be a multiple of `train.steps_per_loop`. Received: "
                f"evaluate_every={self.evaluate_every}, steps_per_loop={self.steps_per_loop}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps between two evaluations; all of them in a run that is shorter than that."""
        return min(self.evaluate_every, self.steps)

    @property
    def steps_in_loop(self) -> int:
        """Steps in one call of the compiled inner loop."""
        return self.steps_per_loop or _largest_divisor(self.steps_per_epoch, 25)

    @property
    def epochs(self) -> int:
        """Evaluations of the whole run."""
        return -(-self.steps // self.steps_per_epoch)


@dataclasses.dataclass(frozen=True)
class Machine(_Group):
    """Devices, and what is kept while the run goes on.

    Attributes:
        strategy: "default", "mirrored", "multi_worker", or "auto" to go by what there is.
        deterministic: whether every op is made to give the same bits each time.
        checkpoint: class or function of a directory -> `Checkpoint`.
        checkpoint_every: evaluations between two checkpoints, int; None leaves it to `checkpoint`.
        tensorboard: whether `logs/tensorboard/` is written, or the class or function of a
            directory that writes its scalars.
        tracker: class or function of the run directory -> `training.Tracker`; None has none.
    """

    strategy: Literal["auto", "default", "mirrored", "multi_worker"] = "auto"
    deterministic: bool = False
    checkpoint: Callable[..., training.Checkpoint] = training.Checkpoint
    checkpoint_every: Count | None = None
    tensorboard: bool | Callable[[Path], tf.keras.callbacks.Callback] = True
    tracker: Callable[[Path], training.Tracker] | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that a run is made of; `assemble` builds it, and two of one `identity` are one run.

    Attributes:
        data, model, batches, schedule, machine: the groups.
    """

    data: Data
    model: Model
    batches: Batches
    schedule: Schedule
    machine: Machine = Machine()


def _largest_divisor(number, limit):
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
