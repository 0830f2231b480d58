"""An encoder for programs without this library: SavedModel, ONNX and TFLite, each checked."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import files
from ccpdml.serving import calibration, converters, description
from ccpdml.serving.embeddings import Embeddings
from ccpdml.serving.image_encoder import ImageEncoder, load_encoder
from ccpdml.serving.service import MatchService, SearchService, Service

# What is made, and how far its embeddings may be from the library's. The networks of the last two
# are rewritten for other programs, with other orders of summation.
TOLERANCES = {"saved_model": 1e-5, "onnx": 1e-4, "tflite": 1e-4, "keras": 1e-5}
TOLERANCE_OF_16_BITS = 2e-2
"""Of a file that computes in 32 bits, from the embeddings of a network that does so in 16."""


class ExportError(ValueError):
    """An encoder that cannot be exported, or is another one afterwards."""


def export(
    encoder: ImageEncoder,
    directory: str | Path,
    formats: Iterable[str] = ("saved_model", "tflite"),
    gallery: Embeddings | None = None,
    k: int | None = None,
    tolerance: float | None = None,
    version: int | None = None,
    threshold: float | calibration.Thresholds | None = None,
) -> dict[str, Any]:
    """Exports an encoder and compares what came out with the encoder, on a few made-up images.

    Args:
        encoder: a trained encoder; see `load_encoder`.
        directory: where to; neither it nor `<directory>.unchecked`, which is kept until the check
            is passed, may exist yet.
        formats: "saved_model" takes the bytes of image files; its signature "serving_default"
            gives `embeddings`, and with a gallery its signature "search" the `k` nearest, with
            a threshold "match" the class or "unknown".
            "onnx" and "tflite" take what `encoder.keras` takes: preprocessed images, float32
            [n, height, width, channels]; the `encoder.json` that is written with them says how
            these are made. "keras" is what `load_encoder` reads: of an encoder that is in no file
            yet, such as that of `features.with_head`.
        gallery: what the signature "search" searches; needs "saved_model".
        k: images that it finds; None finds 10, or all of a smaller gallery.
        tolerance: largest difference of an entry of an embedding, relative to the longest
            embedding if that is longer than 1; None takes `TOLERANCES`, and of "onnx" and "tflite",
            which compute in 32 bits, `TOLERANCE_OF_16_BITS` if the encoder computes in 16.
        version: number of a folder for the SavedModel, `saved_model/<version>`, as TensorFlow
            Serving wants it; None writes it to `saved_model` itself.
        threshold: of the signature "match", a distance or thresholds of the encoder, of which the
            first counts; needs a gallery.

    Returns:
        Largest difference found, by format.

    Raises:
        ExportError: if a format cannot be made, or the embeddings are not the encoder's. Nothing
            is left then.
        ValueError: if a format is not known, the gallery or the thresholds are another encoder's,
            or `k`, `version` or `threshold` does not fit.
        FileExistsError: if one of the two directories is there already.
    """
    formats, directory = list(formats), Path(directory).expanduser()
    _check(encoder, formats, gallery, version, threshold)
    service = _service(encoder, gallery, k, threshold)
    # The second is there if an export was killed, or is somebody else's.
    unchecked = directory.parent / f"{directory.name}.unchecked"
    files.refuse_existing(directory, unchecked)
    unchecked.mkdir(parents=True)
    try:
        differences = {
            name: _export_one(name, encoder, service, unchecked, tolerance, version)
            for name in formats
        }
        about = encoder.info | {"largest_differences": differences}
        about["in_numbers"] = description.in_numbers(
            encoder.view, encoder.preprocess, encoder.model.input_shape[1:]
        )
        files.write_text(unchecked / description.FILE_NAME, json.dumps(about, indent=1) + "\n")
        unchecked.rename(directory)
    finally:
        shutil.rmtree(unchecked, ignore_errors=True)
    return differences


def _service(encoder, gallery, k, threshold):
    """The content of the SavedModel."""
    if gallery is None:
        return Service(encoder)
    if threshold is None:
        return SearchService(encoder, gallery, k)
    return MatchService(encoder, gallery, k, threshold)


def _check(encoder, formats, gallery, version, threshold):
    unknown = sorted(set(formats) - TOLERANCES.keys())
    if unknown or not formats:
        raise ValueError(f"`formats` must be of {sorted(TOLERANCES)}. Received: {formats}")
    if version is not None and not ("saved_model" in formats and version >= 1):
        raise ValueError(
            "`version` must be at least 1, and is for the format saved_model. "
            f"Received: {version=}, {formats=}"
        )
    if gallery is None and threshold is not None:
        raise ValueError(f"A threshold is for the search of a gallery. Received: {threshold=}")
    if gallery is None:
        return
    if "saved_model" not in formats:
        raise ValueError(f"A gallery is for the format saved_model. Received: {formats=}")
    if gallery.info["encoder"]["fingerprint"] != encoder.info["fingerprint"]:
        raise ValueError(
            "The gallery must be embedded with the encoder that is exported. Received: one of "
            f"{gallery.info['encoder'].get('path')}"
        )


def _export_one(name, encoder, service, directory, tolerance, version):
    """Makes one format and returns how far it is from the encoder."""
    contents = sample_contents()
    pixels = np.stack([encoder.view.of_bytes(each) for each in contents])
    expected = encoder(pixels)
    if name == "saved_model":
        path = directory / name / ("" if version is None else str(version))
        service.save(path)
        run = tf.saved_model.load(str(path)).signatures["serving_default"]
        found = run(images=tf.constant(contents))["embeddings"].numpy()
    elif name == "keras":
        encoder.save(directory)
        found = load_encoder(directory)(pixels)
    else:
        inputs = tf.cast(encoder.preprocess(pixels), tf.float32).numpy()
        path = directory / f"encoder.{name}"
        found = converters.CONVERTERS[name](encoder.model, path, inputs)
    allowed = _tolerance(name, encoder.model) if tolerance is None else tolerance
    scale = max(1.0, float(np.linalg.norm(expected, axis=1).max()))
    difference = float(np.abs(found - expected).max()) / scale
    if not difference <= allowed:  # Also where it is not a number.
        raise ExportError(
            f"The embeddings of the exported {name} differ from the encoder's by up to "
            f"{difference:.3g}, which is more than {allowed:g} (tolerance)."
        )
    return difference


def _tolerance(name, model):
    if name in converters.CONVERTERS and converters.computes_in_16_bits(model):
        return TOLERANCE_OF_16_BITS
    return TOLERANCES[name]


def sample_contents(seed: int = 0) -> list[bytes]:
    """Bytes of a few made-up image files, JPEG and PNG of several sizes, smooth and noisy."""
    rng = np.random.default_rng(seed)
    contents = []
    for height, width in ((64, 64), (40, 90), (300, 200), (257, 256)):
        coarse = rng.uniform(0, 255, size=(1, 5, 5, 3))
        image = tf.image.resize(coarse, (height, width), method="bicubic")[0]
        image = tf.saturate_cast(image + rng.normal(0, 10, size=(height, width, 3)), tf.uint8)
        contents += [tf.io.encode_jpeg(image).numpy(), tf.io.encode_png(image).numpy()]
    return contents
