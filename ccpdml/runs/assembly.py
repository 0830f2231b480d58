"""Assembly of a run from its recipe: the learner, and what happens at evaluations."""

import inspect
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from ccpdml import models, training
from ccpdml.cluster import strategies
from ccpdml.data import pipelines
from ccpdml.runs.preparation import Preparation, takes
from ccpdml.runs.recipe import Recipe
from ccpdml.runs.run import Run


def assemble(recipe: Recipe, run_dir: str | Path | None = None) -> Run:
    """Builds the run of a recipe.

    Args:
        recipe: what it is made of.
        run_dir: where it keeps its checkpoints and logs, so that it can go on after it stopped;
            None keeps nothing.

    Raises:
        ValueError: if it cannot be built.
    """
    prepared = Preparation(recipe)
    if run_dir is None:
        return build(prepared)
    output_dir = Path(strategies.output_directory(prepared.strategy, run_dir))
    return build(prepared, Path(run_dir), output_dir)


def build(
    prepared: Preparation, run_dir: Path | None = None, output_dir: Path | None = None
) -> Run:
    """Builds learner and outer loop.

    Args:
        prepared: data and strategy.
        run_dir: of the checkpoints, read by all workers; None keeps none.
        output_dir: where this process writes: the same, except in another worker than the first.
    """
    tf.keras.utils.set_random_seed(prepared.recipe.schedule.seed)
    with prepared.strategy.scope():
        learner = _learner(prepared)
    callbacks, named = _callbacks(prepared, learner, run_dir), {}
    extra = prepared.recipe.schedule.callbacks
    if isinstance(extra, Mapping):
        named = {name: make() for name, make in extra.items()}
    else:
        callbacks += [make() for make in extra]
    if run_dir is not None:
        callbacks += _kept(prepared, callbacks, run_dir, output_dir)
    outer = training.OuterLoop(callbacks, **named)
    return Run(prepared, learner, outer, run_dir, output_dir)


def _callbacks(prepared, learner, run_dir):
    """Callbacks of every run."""
    schedule = prepared.recipe.schedule
    selection = prepared.selection()
    callbacks = [selection, training.CollapseAlarm(selection), schedule.early_stopping()]
    if schedule.reinitialization:
        callbacks.append(schedule.reinitialization(pool(prepared, learner)))
    if schedule.evaluate_untrained:
        callbacks.append(_untrained_evaluation(prepared, selection, run_dir))
    label = f"{'test' if prepared.recipe.data.select_on == 'test' else 'val'} MAP@R"
    callbacks.append(training.ProgressBar(schedule.steps, label=label))
    return callbacks


def _untrained_evaluation(prepared, selection, run_dir):
    parts = {"validation": selection} if prepared.splits.validation is not None else {}
    path = None if run_dir is None else run_dir / "logs" / training.untrained_evaluation.FILE_NAME
    return training.UntrainedEvaluation(parts | {"test": prepared.test_evaluation()}, path)


def _kept(prepared, callbacks, run_dir, output_dir):
    """Callbacks that write into a run directory."""
    machine, logs = prepared.recipe.machine, output_dir / "logs"
    kept = [
        training.ProxyRecord(callback, logs / "proxies")
        for callback in callbacks
        if isinstance(callback, training.ProxyReinitialization)
    ]
    if machine.tensorboard:
        # True is the scalars of the library.
        make = training.TensorBoardScalars if machine.tensorboard is True else machine.tensorboard
        kept.append(make(logs / "tensorboard"))
    if machine.tracker and strategies.is_chief(prepared.strategy):
        kept.append(machine.tracker(output_dir))
    every = {} if machine.checkpoint_every is None else {"every": machine.checkpoint_every}
    checkpoint = machine.checkpoint(run_dir / "checkpoints", **every)
    history = training.History(logs / "history.jsonl")
    return [*kept, history, checkpoint, training.Preemption(checkpoint)]


def _learner(prepared):
    recipe = prepared.recipe
    model = recipe.model
    input_shape = prepared.batches(0).element_spec[0].shape[1:]
    criterion = _with_classes(model.criterion, prepared.splits.train)
    tf.keras.mixed_precision.set_global_policy(model.precision)
    encoder = model.encoder(tuple(input_shape))
    tf.keras.mixed_precision.set_global_policy("float32")  # Each layer keeps its own.
    own = encoder.preprocess if isinstance(encoder, models.WithPreprocess) else None
    preprocess = _agreed(model.preprocess, own)
    _check_views(prepared, encoder, input_shape)
    learner = model.learner(encoder, criterion, preprocess=preprocess)
    learner.compile(model.optimizer(), steps_per_execution=recipe.schedule.steps_in_loop)
    _check_pairs(
        learner.criterion,
        prepared.splits.train,
        prepared.classes_per_batch,
        prepared.samples_per_class,
    )
    return learner


def pool(prepared: Preparation, learner: tf.keras.Model) -> training.PoolDraw:
    """Builds the `PoolDraw` that gives the pools from which proxies are picked.

    Raises:
        ValueError: if the recipe has no pool, or one with fewer images of a class than there are
            proxies.
    """
    make = prepared.recipe.schedule.pool
    if make is None:
        raise ValueError("`train.pool` must be bound to draw pools. Received: pool=None")
    drawn = make(
        learner,
        prepared.splits.train,
        plain_view=prepared.evaluation_view,
        training_view=prepared.training_view,
        seed=prepared.recipe.schedule.seed,
    )
    proxies_per_class = learner.criterion.head.proxies_per_class
    if drawn.pool_size < proxies_per_class:
        raise ValueError(
            "`PoolDraw.pool_size` must be at least the proxies per class, which are picked "
            f"from it. Received: pool_size={drawn.pool_size}, {proxies_per_class=}"
        )
    return drawn


def _check_views(prepared, encoder, input_shape):
    """Refuses views of evaluation that the network, which takes those of training, does not take.

    Preprocessing that changes the shape of images is left to itself.
    """
    pipeline = pipelines.image_batches(prepared.splits.test, prepared.evaluation_view, 1)
    shown = pipeline.element_spec.shape[1:]
    taken = tf.TensorShape(encoder.input_shape[1:])
    if taken.is_compatible_with(input_shape) and not taken.is_compatible_with(shown):
        raise ValueError(
            "Images must be of one shape in training and in evaluation: bind the sizes of "
            "`train.training_view` and `train.evaluation_view` to the same. Received: "
            f"{tuple(input_shape)} of {type(prepared.training_view).__name__}, {tuple(shown)} of "
            f"{type(prepared.evaluation_view).__name__}"
        )


def _check_pairs(criterion, train, classes, samples):
    if train.several is not None:
        criterion.check_several_labels()
    if criterion.needs_pairs and min(classes, samples) < 2:
        raise ValueError(
            f"{type(criterion).__name__} compares images of a batch with each other: without "
            "two images of a class nothing attracts, without two classes nothing repels. "
            "`train.classes_per_batch` and `train.samples_per_class` must be at least 2. "
            f"Received: classes_per_batch={classes}, samples_per_class={samples}"
        )


def _with_classes(configurable, train):
    """Calls a class or function, with the number of classes, or of labels, if it takes that."""
    offered = {"num_classes": train.num_classes}
    if train.several is not None:
        offered["num_labels"] = train.num_classes
    return configurable(**{n: number for n, number in offered.items() if takes(configurable, n)})


def _agreed(bound, own):
    """The preprocessing that was bound, or the network's own; they may not differ."""
    if bound and own and inspect.unwrap(bound) is not inspect.unwrap(own):
        raise ValueError(
            f"The network takes images as {inspect.unwrap(own).__name__} makes them; "
            "`train.preprocess = None` leaves it to the network. Received: "
            f"train.preprocess=@{inspect.unwrap(bound).__name__}"
        )
    return bound or own
