"""What a finished run leaves: the encoder, its scores, figures."""

import dataclasses
import json
import platform
from pathlib import Path

import numpy as np
import tensorflow as tf

from ccpdml import __version__, files, metrics, models
from ccpdml.reports import records, runs
from ccpdml.serving import description
from ccpdml.training import evaluation, pictures, projector, stating, tensorboard

FILE_NAME = records.RESULTS
"""Written last: where it is, the run is finished and nothing in its directory changes any more."""
ENCODER = "encoder.keras"


def are_in(run_dir: str | Path) -> bool:
    """Whether a run directory holds a finished run."""
    return (Path(run_dir) / FILE_NAME).exists()


def read(run_dir: str | Path) -> dict:
    """The results of a finished run, as `write` returned them.

    Raises:
        ValueError: if they cannot be read; says what to do.
    """
    return records.read_results(Path(run_dir) / FILE_NAME)


def write(experiment, learner, ran, best_step, seconds):
    """Writes the best encoder, then scores it on test classes and fills the run directory.

    Args:
        experiment: the `Experiment` that is over.
        learner: its learner, holding the best weights.
        ran: what was trained, a `Statement`.
        best_step: step of those weights, int.
        seconds: wall time of this session, float.

    Returns:
        The dictionary that `results.json` holds.
    """
    # First: whatever fails from here on, nothing that was trained is lost.
    save_encoder(experiment, learner)
    splits, run_dir = experiment.splits, experiment.output_dir
    test = experiment.evaluation(
        splits.test, splits.gallery, recall_at=experiment.recall_at, progress=True
    )
    scores = test.evaluate(learner)
    query, gallery = test.embeddings, test.gallery_embeddings
    results = {
        "dataset": splits.info["name"],
        "ran": dataclasses.asdict(ran),
        **{"method": ran.criterion, "loss": ran.loss, "dim": ran.dim},
        "test": scores,
        "best_step": best_step,
        "steps": int(tf.convert_to_tensor(learner.optimizer.iterations)),
        "seed": experiment.seed,
        "split": splits.info | {"data": experiment.data},
        "selected_on": f"{experiment.select_on} classes",
        "versions": {
            "ccpdml": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": stating.keras_version(),
        },
        "wall_seconds": round(seconds, 1),
    }
    if splits.validation is not None:
        results["validation"] = experiment.evaluation(splits.validation).evaluate(learner)
    results["geometry"] = metrics.geometry.describe(
        query, test.labels, *evaluation.proxies(learner)
    )
    results["alarms"] = list(metrics.collapse.alarms(results["geometry"]).values())
    sides = {"query": query, "query_labels": test.labels}
    if gallery is not None:
        sides |= {"gallery": gallery, "gallery_labels": test.gallery[1]}
    with files.replacing(run_dir / "test_embeddings.npz") as file:
        np.savez(file, **sides)
    pictures.draw(experiment, learner, test)
    if experiment.tensorboard:
        _write_tensorboard(experiment, results, query)
    files.write_text(run_dir / FILE_NAME, json.dumps(results, indent=1) + "\n")
    return results


def _write_tensorboard(experiment, results, query):
    """Writes the embedding projector, and settings with test scores in a run of their own."""
    folder = experiment.output_dir / "logs" / "tensorboard"
    projector.write(folder, query, experiment.splits.test)
    bindings = runs.bindings(experiment.output_dir / "operative_config.gin")
    place = experiment.run_dir.resolve()
    name = f"{place.name} in {place.parent}"
    tensorboard.write_results(
        folder / "results", name, bindings, results["test"], results["best_step"]
    )


def save_encoder(experiment, learner):
    """Writes `encoder.keras`, normalizing as the criterion does, and `encoder.json` about it."""
    normalization = learner.criterion.normalization
    encoder = models.standalone(learner.encoder, normalization)
    described = description.describe(
        encoder, experiment.evaluation_view, learner.preprocess, normalization
    )
    with files.filling(experiment.output_dir) as folder:
        encoder.save(folder / ENCODER)
        description.write(folder / description.FILE_NAME, described)
