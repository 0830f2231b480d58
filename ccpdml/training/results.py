"""What a finished run leaves: the encoder, its scores, figures."""

import importlib.metadata
import json
import platform

import numpy as np
import tensorflow as tf

from ccpdml import files, metrics, models
from ccpdml.reports import runs
from ccpdml.serving import description
from ccpdml.training import evaluation, pictures, projector, tensorboard


def write(experiment, learner, best_step, seconds):
    """Scores the best encoder on test classes and fills the run directory.

    Args:
        experiment: the `Experiment` that is over.
        learner: its learner, holding the best weights.
        best_step: step of those weights, int.
        seconds: wall time of this session, float.

    Returns:
        The dictionary that `results.json` holds.
    """
    splits, run_dir = experiment.splits, experiment.output_dir
    test = experiment.evaluation(
        splits.test, splits.gallery, recall_at=experiment.recall_at, progress=True
    )
    scores = test.evaluate(learner)
    query, gallery = test.embeddings, test.gallery_embeddings
    results = {
        "dataset": splits.info["name"],
        "method": type(learner.criterion).__name__,
        "loss": type(getattr(learner.criterion, "loss", None)).__name__,
        "dim": query.shape[1],
        "test": scores,
        "best_step": best_step,
        "steps": int(tf.convert_to_tensor(learner.optimizer.iterations)),
        "seed": experiment.seed,
        "split": splits.info,
        "selected_on": f"{experiment.select_on} classes",
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": importlib.metadata.version(tf.keras.Model.__module__.split(".")[0]),
        },
        "wall_seconds": round(seconds, 1),
    }
    if splits.validation is not None:
        results["validation"] = experiment.evaluation(splits.validation).evaluate(learner)
    results["geometry"] = metrics.geometry.describe(
        query, test.labels, *evaluation.proxies(learner)
    )
    results["alarms"] = list(metrics.collapse.alarms(results["geometry"]).values())
    save_encoder(experiment, learner)
    sides = {"query": query, "query_labels": test.labels}
    if gallery is not None:
        sides |= {"gallery": gallery, "gallery_labels": test.gallery[1]}
    np.savez(run_dir / "test_embeddings.npz", **sides)
    pictures.draw(experiment, learner, test)
    if experiment.tensorboard:
        _write_tensorboard(experiment, results, query)
    # Last: where it is, the run is complete.
    files.write_text(run_dir / "results.json", json.dumps(results, indent=1) + "\n")
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
    encoder.save(experiment.output_dir / "encoder.keras")
    description.write(
        experiment.output_dir / description.FILE_NAME,
        description.describe(
            encoder, experiment.evaluation_view, learner.preprocess, normalization
        ),
    )
