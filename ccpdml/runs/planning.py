"""The plan of a run, in lines for people."""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from ccpdml.runs import assembly
from ccpdml.runs.run import Run


def plan(run: Run, run_dir: Path, state: str) -> list[str]:
    """Describes a run that is built.

    Args:
        run: the `Run`.
        run_dir: its directory.
        state: what that holds, in words.
    """
    prepared = run.prepared
    recipe = prepared.recipe
    learner = run.learner
    weights, proxies = _size(learner.encoder_weights), _size(learner.criterion_weights)
    return [
        *_data(prepared),
        f"batch       {prepared.classes_per_batch} classes x "
        f"{prepared.samples_per_class} images on "
        f"{prepared.strategy.num_replicas_in_sync} replica(s)",
        f"selection   on {recipe.data.select_on} classes",
        f"steps       {recipe.schedule.steps}, evaluated every {recipe.schedule.steps_per_epoch}",
        f"weights     {weights:,} of the encoder, {proxies:,} of the criterion",
        f"directory   {run_dir}, {state}",
        *_memory(prepared, learner, weights + proxies),
    ]


def _data(prepared) -> Iterator[str]:
    yield f"data        {prepared.data['root'] or 'images in memory'}"
    for name in ("train", "validation", "test"):
        images = getattr(prepared.splits, name)
        if images is not None:
            known = len(set(images.categories))
            of = f" of {known} categor{'y' if known == 1 else 'ies'}" if known else ""
            yield f"{name:<12}{images.num_classes:>7} classes {len(images):>8} images{of}"


def _memory(prepared, learner, num_weights) -> Iterator[str]:
    has_instances = prepared.recipe.schedule.reinitialization is not None
    # Weight, gradient, two moments; the copies are prox center, best of instance, best of run.
    copies = 4 + (3 if has_instances else 1)
    yield (
        f"memory      {4 * copies * num_weights / 2**20:.0f} MiB of weights, "
        "moments and copies, and the activations of a batch"
    )
    if has_instances:
        num_classes = prepared.splits.train.num_classes
        size = assembly.pool(prepared, learner).pool_size
        yield (
            f"pool        {size} images x {num_classes} classes = "
            f"{size * num_classes:,} embedded per problem instance"
        )


def _size(variables):
    return sum(int(tf.size(variable)) for variable in variables)
