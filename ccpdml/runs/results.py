"""Results in a run directory: the encoder, its scores, figures."""

import dataclasses
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import __version__, compat, files, metrics
from ccpdml.data.image_set import Splits
from ccpdml.reports import records
from ccpdml.reports import runs as run_directories
from ccpdml.runs import pictures, projector
from ccpdml.runs.finished import Finished
from ccpdml.serving import description, image_encoder
from ccpdml.training import tensorboard

FILE_NAME = records.RESULTS
"""Written last: where it is, the run is finished and nothing in its directory changes any more.

Unless it says `"trained": false`, and has the scores before training only.
"""
ENCODER = image_encoder.FILE_NAME


def are_in(run_dir: str | Path) -> bool:
    """Tells whether a run directory holds a finished run."""
    return records.are_of_a_finished_run(Path(run_dir) / FILE_NAME)


def read(run_dir: str | Path) -> dict[str, Any]:
    """The results of a finished run, as `write` returned them.

    Raises:
        ValueError: if they cannot be read; says what to do.
    """
    return records.read_results(Path(run_dir) / FILE_NAME)


def write(finished: Finished, run_dir: str | Path) -> dict[str, Any]:
    """Fills the directory of a run.

    Args:
        finished: the run.
        run_dir: its directory, made if missing.

    Returns:
        The dictionary that `results.json` holds.

    Raises:
        FileExistsError: if the directory holds results already.
    """
    if are_in(run_dir):
        raise FileExistsError(
            f"{Path(run_dir) / FILE_NAME} is there already, and a finished run is never written "
            "over. Choose another directory, or move it away."
        )
    write_encoder(finished.trained.encoder, finished.trained.description, run_dir)
    return write_scores(finished, run_dir)


def write_encoder(encoder: tf.keras.Model, about: dict[str, Any], run_dir: str | Path) -> None:
    """Writes `encoder.keras`, and what `encoder.json` says about it."""
    with files.filling(run_dir) as folder:
        encoder.save(folder / ENCODER)
        description.write(folder / description.FILE_NAME, about)


def write_scores(finished: Finished, run_dir: str | Path, draw: bool = True) -> dict[str, Any]:
    """The rest of `write`; `draw` says whether figures are drawn: one worker is enough."""
    run_dir = Path(run_dir)
    results = of(finished)
    _write_embeddings(finished, run_dir / "test_embeddings.npz")
    if draw:
        pictures.draw(finished, run_dir)
    if (run_dir / "logs" / "tensorboard").is_dir():
        _write_tensorboard(finished, results, run_dir)
    files.write_text(run_dir / FILE_NAME, json.dumps(results, indent=1) + "\n")
    return results


def write_untrained(
    untrained: dict[str, Any], splits: Splits, run_dir: str | Path
) -> dict[str, Any]:
    """Writes a `results.json` of a run that is not trained, which nobody takes for a finished one.

    Args:
        untrained: as of `training.UntrainedEvaluation`.
        splits: the data.
        run_dir: the directory of the run.

    Returns:
        The dictionary that it holds.
    """
    results = {
        "trained": False,
        "dataset": splits.info.get("name", "own"),
        "untrained": untrained,
        "split": splits.info,
        "versions": _versions(),
    }
    files.write_text(Path(run_dir) / FILE_NAME, json.dumps(results, indent=1) + "\n")
    return results


def _versions():
    return {
        "ccpdml": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": compat.keras_version(),
    }


def _needed(encoder):
    """Version of what an encoder has layers of, and is read with, beside Keras."""
    rooms = {type(layer).__module__.partition(".")[0] for layer in compat.sublayers(encoder)}
    return {"keras_hub": importlib.metadata.version("keras-hub")} if "keras_hub" in rooms else {}


def of(finished: Finished) -> dict[str, Any]:
    """Content of `results.json`."""
    trained, splits = finished.trained, finished.splits
    ran = trained.ran
    points = metrics.geometry.of_each_label(finished.test.query, splits.test.all_labels)
    geometry = metrics.geometry.describe(*points, *finished.proxies)
    results = {
        "dataset": splits.info.get("name", "own"),
        "ran": dataclasses.asdict(ran),
        **{"method": ran.criterion, "loss": ran.loss, "dim": ran.dim},
        "test": finished.test.scores,
        "best_step": trained.best_step,
        "steps": trained.steps,
        "seed": ran.seed,
        "split": splits.info | {"data": finished.data},
        "selected_on": f"{finished.selected_on} classes",
        "versions": _versions() | _needed(finished.trained.encoder),
        "wall_seconds": round(trained.seconds, 1),
    }
    if finished.validation is not None:
        results["validation"] = finished.validation
    categories = by_category(finished)
    if categories:
        results["test_by_category"] = categories
    alarms = metrics.collapse.alarms(geometry)
    if trained.untrained is not None:
        results["untrained"] = trained.untrained
        parts = ("test", "validation")
        scores: dict[str, Any] = {part: results[part] for part in parts if part in results}
        alarms |= metrics.gain.alarms(scores, trained.untrained)
    return results | {"geometry": geometry, "alarms": list(alarms.values())}


def by_category(finished: Finished) -> dict[str, dict[str, float]]:
    """Scores of the test queries of each category.

    They are searched in all that is searched, not only among images of their category.

    Returns:
        Dict by category of scores by the keys of `metrics.names`, and of `num_queries`, those with
        a match; empty where the categories are not known, or there is but one.
    """
    categories = finished.splits.test.image_categories
    if categories is None or len(set(categories)) < 2:
        return {}
    averages = metrics.average(finished.test.query_scores, categories)["per_class"]
    found = metrics.names.Scores(averages)
    keys = ["num_queries", *finished.test.scores]
    return {
        category: {key: found[key][row].item() for key in keys}
        for row, category in enumerate(found["labels"].tolist())
    }


def _write_embeddings(finished, path):
    test, splits = finished.test, finished.splits
    sides = {"query": test.query, "query_labels": splits.test.all_labels}
    if test.gallery is not None:
        sides |= {"gallery": test.gallery, "gallery_labels": splits.gallery.all_labels}
    with files.replacing(path) as file:
        np.savez(file, **sides)


def _write_tensorboard(finished, results, run_dir):
    """Writes the embedding projector, and settings with test scores in a run of their own."""
    folder = run_dir / "logs" / "tensorboard"
    projector.write(folder, finished.test.query, finished.splits.test)
    bindings = run_directories.bindings(run_dir / "operative_config.gin")
    place = run_dir.resolve()
    name = f"{place.name} in {place.parent}"
    scores, step = results["test"], results["best_step"]
    untrained = results.get("untrained", {}).get("test", {})
    gains = metrics.gain.gains(scores, untrained)
    scores = (
        scores
        | {f"untrained_{key}": value for key, value in untrained.items()}
        | {f"gain_{key}": value for key, value in gains.items()}
    )
    tensorboard.write_results(folder / "results", name, bindings, scores, step)
