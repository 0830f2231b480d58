"""The model card of a run: Markdown with a head in YAML, as hubs of models show it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccpdml import files
from ccpdml.metrics import gain, names
from ccpdml.reports import runs

FILE_NAME = "README.md"
UNKNOWN = "unknown"
INTENDED_USE = (
    "To find images that show the same thing as a query, of classes like those that it was trained "
    "on, by the distance of their embeddings. It was not tried on other kinds of images, and does "
    "not say how sure it is: choose a threshold of distance on images of your own before you take "
    "a neighbor for a match. Not for decisions about people."
)
_OF_IMAGES = """\
from ccpdml import serving

encoder = serving.load_encoder({place})
embeddings = encoder.embed(["one.jpg", "two.jpg"])
print(encoder.embedding_size, ((embeddings[0] - embeddings[1]) ** 2).sum() ** 0.5)
"""
_OF_FEATURES = """\
import numpy as np
import tensorflow as tf

encoder = tf.keras.models.load_model({place})
print(encoder(np.zeros((1, {size}), "float32")))  # Vectors of the network it was trained on.
"""


def write(
    run_dir: str | Path,
    *,
    license: str = UNKNOWN,
    backbone_license: str = UNKNOWN,
    intended_use: str = INTENDED_USE,
    place: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes the card of a finished run into its directory.

    Args:
        run_dir: the directory.
        license: of the encoder, as hubs name it, such as "mit".
        backbone_license: of the weights that training began with; what is not known stays so.
        intended_use: a paragraph.
        place: from where readers load the encoder, such as "hf://me/birds"; None is a folder of
            the name of the run directory.
        overwrite: whether a card that is there is replaced.

    Returns:
        The path of the card.

    Raises:
        ValueError: if the directory holds no finished run of one encoder.
        FileExistsError: if a card is there and is not to be replaced.
    """
    path = Path(run_dir) / FILE_NAME
    files.refuse_existing(path, overwrite=overwrite)
    (run,) = runs.read([run_dir])
    if not isinstance(run, runs.Run):
        raise ValueError(
            "A card is of one encoder: give the directory of one of the runs, such as "
            f"fold_0_repeat_0. Received: the cross-validation {run_dir}"
        )
    about = _description(run.directory / "encoder.json")
    licenses = {"license": license, "backbone": backbone_license}
    place = place or run.directory.resolve().name
    files.write_text(path, text(run, about, licenses, intended_use, place))
    return path


def text(
    run: runs.Run,
    about: dict[str, Any],
    licenses: dict[str, str],
    intended_use: str,
    place: str,
) -> str:
    """The card, Markdown.

    Args:
        run: a finished run.
        about: of `encoder.json`.
        licenses: of the encoder under "license", of the weights it began with under "backbone".
        intended_use, place: as of `write`.
    """
    title = place.rstrip("/").rpartition("/")[2]
    sections = {
        "Data": _data(run),
        "Protocol": _protocol(run),
        "Scores": _scores(run),
        "Intended use": [intended_use],
        "License": _licenses(licenses),
        "How to load it": _loading(run, about, place),
    }
    body = [f"# {title}", *_model(run, about)]
    for heading, lines in sections.items():
        body += [f"## {heading}", *lines]
    return _head(run, licenses["license"]) + "\n\n".join(body) + "\n"


def _description(path):
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
        return {"input_shape": list(about["input_shape"])} | about
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected the description of the encoder that the run has left. The command "
            f"of the run writes it again once results.json is removed. Received: {error!r}"
        ) from error


def _head(run, license):
    """The part for programs, YAML; JSON's strings are strings of YAML too."""
    lines = ["library_name: keras", "pipeline_tag: image-feature-extraction"]
    lines += [f"license: {json.dumps(license)}", "tags:", "- metric-learning", "- image-retrieval"]
    lines += ["model-index:", f"- name: {json.dumps(run.name)}", "  results:"]
    lines += ["  - task:", "      type: image-retrieval", "    dataset:"]
    dataset = json.dumps(run.results["dataset"])
    lines += [f"      name: {dataset}", f"      type: {dataset}", "    metrics:"]
    for key, label in names.LABELS.items():
        lines += [f"    - type: {key}", f"      name: {json.dumps(label)}"]
        lines.append(f"      value: {run.results['test'][key]:.4f}")
    return "---\n" + "\n".join(lines) + "\n---\n\n"


def _model(run, about) -> Iterator[str]:
    ran, shape = run.ran, about["input_shape"]
    given = " x ".join(map(str, shape))
    what = f"vectors of {given}" if len(shape) == 1 else f"images of {given}"
    loss = f" on {ran.loss}" if ran.loss else ""
    yield (
        f"An encoder from {what} to embeddings of {about.get('embedding_size', ran.dim)} numbers, "
        f"trained with {ran.criterion}{loss}; {_backbone(ran, about)}. Embeddings are compared "
        f"by their Euclidean distance, normalized by {about.get('normalization', 'nothing')} "
        "inside the encoder."
    )
    stack = ", ".join(f"{name} {v}" for name, v in run.results.get("versions", {}).items())
    yield f"Made with {stack or 'versions that are not told'}."


def _backbone(ran, about):
    if len(about["input_shape"]) == 1:
        network = about.get("features_of")
        return f"the vectors are features of {network or 'a network that is not told'}"
    share = f" ({ran.trained_share} weights were trained)" if ran.trained_share else ""
    return f"its backbone is {ran.backbone or 'not told'}{share}"


def _data(run) -> Iterator[str]:
    split = run.results.get("split", {})
    yield f"Data set: {run.results['dataset']}."
    rows = [
        f"| {part} | {count.get('classes', '')} | {count.get('images', '')} |"
        for part, count in split.get("counts", {}).items()
    ]
    if rows:
        yield "\n".join(["| part | classes | images |", "| --- | --- | --- |", *rows])


def _protocol(run) -> Iterator[str]:
    results, split = run.results, run.results.get("split", {})
    if split.get("closed_set"):
        yield "A closed set: the classes that were tested were trained on, their images were not."
    else:
        yield "The classes that were tested were not trained on."
    fold = f", fold {run.ran.fold} of {split.get('num_folds')}" if run.ran.fold is not None else ""
    yield (
        f"The best weights, of step {results.get('best_step')} of {results.get('steps')}, were "
        f"chosen on {results.get('selected_on', 'classes that are not told')}{fold}; seed "
        f"{run.ran.seed}. Every test image searches the others, or the gallery where there is one; "
        "the search is exact. P@R and MAP@R look at the R nearest, R being the number of matches."
    )


def _scores(run) -> Iterator[str]:
    results = run.results
    untrained = results.get("untrained", {})
    keys = names.present(results["test"])
    rows = [("in percent", *map(names.label, keys)), ["---"] * (len(keys) + 1)]
    for part in ("test", "validation"):
        scores, before = results.get(part), untrained.get(part)
        if scores:
            rows.append(_row(part, scores, keys))
        if scores and before:
            rows.append(_row(f"{part}, before training", before, keys))
            rows.append(_row(f"{part}, difference", gain.gains(scores, before), keys, "+"))
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if untrained:
        yield f"Before training: {untrained['measured']}."
    else:
        yield "What there was before training was not scored."
    yield from (f"**{alarm}**" for alarm in results.get("alarms", []))


def _row(title, scores, keys, sign=""):
    return [title, *(f"{100 * scores[key]:{sign}.2f}" if key in scores else "" for key in keys)]


def _licenses(licenses) -> Iterator[str]:
    yield f"Of this encoder: {licenses['license']}."
    if licenses["backbone"] == UNKNOWN:
        yield (
            "Of the weights that training began with: unknown. Find it out before you pass the "
            "encoder on; what they allow holds for what is made of them."
        )
    else:
        yield f"Of the weights that training began with: {licenses['backbone']}."


def _loading(run, about, place) -> Iterator[str]:
    shape = about["input_shape"]
    if len(shape) == 1:
        file = place if place.startswith("hf://") else f"{place}/encoder.keras"
        code = _OF_FEATURES.format(place=json.dumps(file), size=shape[0])
    else:
        code = _OF_IMAGES.format(place=json.dumps(place))
    yield f"```python\n{code}```"
    if "keras_hub" in run.results.get("versions", {}):
        yield "It has layers of KerasHub, which must be installed: `pip install keras-hub`."
    if len(shape) > 1:
        yield (
            "`encoder.json` says how an image becomes the input, for programs that load the Keras "
            "model alone."
        )
