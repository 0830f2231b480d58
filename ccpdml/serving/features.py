"""Features of a network that stays as it is, stored, on which a head is trained in seconds."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from ccpdml import files
from ccpdml.data import features as stored_features
from ccpdml.data import identity, pipelines, views
from ccpdml.data.image_set import ImageSet
from ccpdml.models import keras_files
from ccpdml.serving import description, image_encoder


def without_head(encoder: image_encoder.ImageEncoder) -> image_encoder.ImageEncoder:
    """The network below the embedding head: it gives the features that enter the last dense layer.

    Args:
        encoder: such as `load_encoder` gives.

    Raises:
        ValueError: if the encoder has no dense layer.
    """
    dense = [e for e in encoder.model.layers if isinstance(e, tf.keras.layers.Dense)]
    if not dense:
        raise ValueError("Expected an encoder that ends in a dense layer. Received: none in it")
    network = tf.keras.Model(encoder.model.inputs, dense[-1].input, name="encoder")
    about = encoder.info | {"normalization": None, "embedding_size": network.output_shape[-1]}
    return image_encoder.ImageEncoder(network, encoder.view, encoder.preprocess, about)


def with_head(features: str | Path, run: str | Path) -> image_encoder.ImageEncoder:
    """One encoder of images, of a network and the head that a run trained on its features.

    Args:
        features: folder of `store`, which keeps the network.
        run: directory of the run on these features, or its encoder.keras.

    Raises:
        FileNotFoundError: if one of them is not there.
        ValueError: if the run was not on features of this network, or a file cannot be read.
    """
    network = image_encoder.load_encoder(features)
    file = image_encoder.file_of(Path(run).expanduser())
    about = description.of_head(file)
    trained_on = about.get("features_of")
    if trained_on != network.info["fingerprint"]:
        raise ValueError(
            f"Expected the features that {file} was trained on, of the network {trained_on}. "
            f"Received: {features}, of {network.info['fingerprint']}"
        )
    head = keras_files.load(file)
    model = tf.keras.Model(network.model.inputs, head(network.model.outputs[0]), name="encoder")
    info = network.info | {
        name: about[name] for name in ("normalization", "embedding_size", "tensorflow", "keras")
    }
    return image_encoder.ImageEncoder(model, network.view, network.preprocess, info)


def store(
    folder: str | Path,
    network: image_encoder.ImageEncoder,
    parts: Mapping[str, ImageSet],
    num_views: int = 1,
    training_view: views.View | None = None,
    batch_size: int = 64,
    shard_size: int = 4096,
    dtype: str = "float32",
    progress: bool = True,
) -> None:
    """Stores the features of images in a folder, as `data.features` reads them.

    After a stop the same call goes on. The folder is an encoder too (`encoder.keras`): of features,
    not trained any further.

    Args:
        folder: where to: `features-00000.npy`, ..., each of `shard_size` images, `labels.npy`,
            `split.npy`, `paths.npy`, and the network.
        network: gives the features; see `without_head`.
        parts: images by what they are for, "train", "val" or "test"; one part of the name "" for
            images that are not divided.
        num_views: views of each image: the first is the network's own, in which nothing is random,
            the others are `training_view`'s.
        training_view: maker of these, needed for more than one; see `data.views`.
        batch_size: images in the network at a time.
        shard_size: images of a file, and between two safe points.
        dtype: "float32" or "float16", which takes half of the room; both are read as float32.
        progress: whether to show a progress bar.

    Raises:
        FileExistsError: if the folder holds other features.
        ValueError: if views or sizes do not fit.
        UnreadableFileError: at a file that cannot be read.
    """
    folder = Path(folder).expanduser()
    _check(num_views, training_view, batch_size, shard_size, dtype)
    _refuse_several(parts)
    _settle(folder, network, parts, (num_views, training_view, shard_size, dtype))
    slices = [
        (images, range(start, min(start + shard_size, len(images))))
        for images in parts.values()
        for start in range(0, len(images), shard_size)
    ]
    with tqdm.tqdm(total=sum(map(len, parts.values())), unit="image", disable=not progress) as bar:
        for place, (images, rows) in enumerate(slices):
            path = folder / f"features-{place:05d}.npy"
            if not path.is_file():
                # In evaluation: of files the network's own view, of pixels none.
                plain = views.Plain() if images.in_memory else _Served(network.view)
                shown = [plain, *[training_view] * (num_views - 1)]
                found = [
                    _embed(network, images, view, rows, place * num_views + number, batch_size)
                    for number, view in enumerate(shown)
                ]
                _write(path, np.stack(found, axis=1) if num_views > 1 else found[0], dtype)
            bar.update(len(rows))
    _write_texts(folder, parts)


def _check(num_views, training_view, batch_size, shard_size, dtype):
    if min(num_views, batch_size, shard_size) < 1 or dtype not in ("float32", "float16"):
        raise ValueError(
            "`num_views`, `batch_size` and `shard_size` must be at least 1 and `dtype` float32 or "
            f"float16. Received: {num_views=}, {batch_size=}, {shard_size=}, {dtype=}"
        )
    if num_views > 1 and training_view is None:
        raise ValueError(f"`num_views` above 1 needs a `training_view`. Received: {num_views=}")


def _refuse_several(parts):
    several = [name for name, images in parts.items() if images.several is not None]
    if several:
        raise ValueError(
            "Stored features have one class of each image. Received: images of several labels "
            f"(data.load.label_separator) in {several}"
        )


def _settle(folder, network, parts, settings):
    """Makes the folder and says what it holds, or refuses one that holds something else."""
    num_views, training_view, shard_size, dtype = settings
    about = {
        "network": network.info["fingerprint"],
        "images": identity.summary(identity.describe(dict(parts))),
        "views": num_views,
        "training_view": _spelled(training_view) if num_views > 1 else None,
        "shard_size": shard_size,
        "dtype": dtype,
    }
    path, text = folder / stored_features.ABOUT, json.dumps(about) + "\n"
    there = path.read_text(errors="replace") if path.is_file() else None
    if there not in (None, text) or (there is None and folder.is_dir() and any(folder.iterdir())):
        other = "something else" if there is None else f"other features, {there.strip():.300}"
        raise FileExistsError(
            f"{folder} is there already and holds {other}. Choose another folder. Received: {about}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)
    if not (folder / image_encoder.FILE_NAME).is_file():  # Written after its description.
        network.save(folder)


def _spelled(view):
    return f"{type(view).__name__} {json.dumps(vars(view), sort_keys=True, default=repr)}"


class _Served:
    """A view of files as it is served: of their bytes."""

    reads_files = True

    def __init__(self, view):
        self.view = view

    def __call__(self, path, seed):
        del seed  # Nothing is random here.
        return self.view.of_bytes(tf.io.read_file(path))


def _embed(network, images, view, rows, seed, batch_size):
    """Features of some images in one view, float32 [n, dim]."""
    with pipelines.telling_unreadable_files():
        batches = pipelines.image_batches(images, view, batch_size, list(rows), seed)
        shape = tuple(batches.element_spec.shape[1:])
        if shape != network.pixels_shape:
            raise ValueError(
                f"Expected views of the network's shape {network.pixels_shape}; bind the sizes of "
                f"the run's views to it. Received: {shape} of {type(view).__name__}"
            )
        return np.concatenate([network(batch) for batch in batches])


def _write(path, features, dtype):
    stored = features.astype(dtype)
    if not np.isfinite(stored).all():
        raise ValueError(
            f"{path}: expected finite features as {dtype}. Received: entries up to "
            f"{np.abs(features).max():g}"
        )
    with files.replacing(path) as file:
        np.save(file, stored)


def _write_texts(folder, parts):
    """Labels, splits and names; written last, they say that all is there."""
    texts = {
        "paths": [np.array(images.paths) for images in parts.values()],
        "split": [np.full(len(images), name) for name, images in parts.items()],
        "labels": [np.array(images.class_names)[images.labels] for images in parts.values()],
    }
    if "" in parts:
        del texts["split"]
    for name, arrays in texts.items():
        with files.replacing(folder / f"{name}.npy") as file:
            np.save(file, np.concatenate(arrays))
