"""The batch on which a run broke: written down, and run again slowly."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ccpdml.runs.experiment import Experiment
    from ccpdml.runs.run import Run

FOLDER = "non_finite"


def write(run: "Run", step: int, folder: Path) -> None:
    """Writes the batch of a step and the state of the learner before it.

    Args:
        run: the `Run` that it stopped.
        step: the step that failed, counted from 1.
        folder: gets `batch.npz` (step, images, labels, indices into the training set, and paths
            where images are files) and the checkpoint in `state/`; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run.outer.checkpoint.write_to(folder / "state")
    prepared = run.prepared
    train = prepared.splits.train
    indices = prepared.sampler.batch(step - 1)
    images, labels = next(iter(prepared.batches(step - 1)))
    arrays = {"step": step, "images": images, "labels": labels, "indices": indices}
    if not train.in_memory:
        arrays["paths"] = np.asarray(train.images)[indices]
    np.savez(folder / "batch.npz", **arrays)


def note(folder: Path) -> str:
    """A line about a written batch: where it is, which files it was made of, and what to do."""
    with np.load(folder / "batch.npz") as batch:
        files = [str(path) for path in batch["paths"]] if "paths" in batch else []
    of_files = f", made of {', '.join(files)}" if files else ""
    return f"The batch is in {folder}{of_files}; the same command with --debug replays it."


def run(experiment: "Experiment") -> str:
    """Runs the written batch of an `Experiment` again, one op at a time.

    Returns:
        What TensorFlow says about the first op whose result is not finite, with the source line it
        was called from; or that all was finite this time.

    Raises:
        FileNotFoundError: if no batch was written.
    """
    folder = experiment.run_dir / FOLDER
    if not (folder / "batch.npz").exists():
        raise FileNotFoundError(f"{folder} holds no batch: this run did not stop at one.")
    learner, outer = experiment.build()
    checkpoint = outer.checkpoint
    checkpoint.directory = str(folder / "state")
    checkpoint.restore(learner)
    with np.load(folder / "batch.npz") as batch:
        step, images, labels = batch["step"], batch["images"], batch["labels"]
    tf.debugging.enable_check_numerics()
    tf.config.run_functions_eagerly(True)
    try:
        loss, *_ = learner.gradients_of((tf.constant(images), tf.constant(labels)))
    except tf.errors.InvalidArgumentError as error:
        return f"Step {step}: {error.message}"
    finally:
        tf.config.run_functions_eagerly(False)
        tf.debugging.disable_check_numerics()
    return f"Step {step}: every op gave finite numbers this time, loss {float(loss)}."
