"""Embedding many image files: in bounded memory, and so that it can be stopped at any time."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from ccpdml import files
from ccpdml.data import decoding
from ccpdml.serving import embeddings, sources
from ccpdml.serving.image_encoder import ImageEncoder


class UnreadableImageError(ValueError):
    """An image file that cannot be decoded."""


def embed_images(
    encoder: ImageEncoder,
    images: sources.ImageFiles,
    output: str | Path,
    batch_size: int = 64,
    skip_unreadable: bool = False,
    shard_size: int = 1024,
    progress: bool = True,
) -> Path:
    """Embeds image files into one .npz file; called again after a stop, it goes on.

    What is done is kept in `<output>.parts/`, a file for every `shard_size` images, until all is
    done. The result is the same, to the byte, as if it had never stopped (on a CPU).

    Args:
        encoder: a trained encoder; see `load_encoder`.
        images: files to embed; see `find_images`.
        output: .npz file to write; see `Embeddings` for what it holds.
        batch_size: images in memory and in the network at a time.
        skip_unreadable: whether files that cannot be decoded are left out, and listed with the
            reason in `<output>.skipped.txt`. Files that are missing are an error all the same.
        shard_size: images done between two safe points.
        progress: whether to show a progress bar.

    Returns:
        The path of the file.

    Raises:
        UnreadableImageError: if a file cannot be decoded; names it. What came before it is kept.
        ValueError: if `output` or its parts are of other images, another encoder or shard size.
    """
    if min(batch_size, shard_size) < 1 or not len(images):
        raise ValueError(
            "There must be images, and `batch_size` and `shard_size` must be at least 1. "
            f"Received: {len(images)} images, {batch_size=}, {shard_size=}"
        )
    output, parts = Path(output), Path(f"{output}.parts")
    info = _statement(encoder, images)
    if output.is_file():
        _refuse_other(embeddings.read_embeddings(output).info, info, output)
        logging.info("%s is complete already", output)
        shutil.rmtree(parts, ignore_errors=True)
        return output
    _open_parts(parts, info | {"shard_size": shard_size})
    with tqdm.tqdm(total=len(images), unit="image", disable=not progress) as bar:
        for start in range(0, len(images), shard_size):
            part, stop = parts / f"{start:012d}.npz", min(start + shard_size, len(images))
            if not part.is_file():
                paths = images.paths[start:stop]
                _embed_part(encoder, paths, part, batch_size, skip_unreadable, bar.update)
            bar.update(stop - bar.n)
    _join(sorted(parts.glob("*.npz")), images, output, info)
    shutil.rmtree(parts)
    return output


def embed_in_memory(encoder: ImageEncoder, paths, batch_size: int = 64) -> np.ndarray:
    """Embeds a few image files; returns float32 [n, dim].

    Raises:
        UnreadableImageError: if a file cannot be decoded; names it.
    """
    found = [rows for _, rows in _embedded(encoder, paths, batch_size)]
    return np.concatenate(found)


def _statement(encoder, images):
    """What a file of embeddings says of itself."""
    listed = json.dumps([images.paths, images.classes]).encode()
    return {"encoder": encoder.info, "images": hashlib.sha256(listed).hexdigest()[:16]}


def _refuse_other(found, wanted, where):
    """Refuses what an earlier command left, unless it was the same command."""
    kept = {**found, "encoder": found["encoder"]["fingerprint"]}
    wanted = {**wanted, "encoder": wanted["encoder"]["fingerprint"]}
    differing = [name for name, value in wanted.items() if kept.get(name) != value]
    if differing:
        raise ValueError(
            f"{where} is there already and was made with other {' and '.join(differing)}. Choose "
            "another output, or remove it."
        )


def _open_parts(parts, info):
    """Makes the folder of the parts, or checks that the one there is of the same command."""
    manifest = parts / "manifest.json"
    if manifest.is_file():
        _refuse_other(json.loads(manifest.read_text()), info, parts)
        return
    parts.mkdir(parents=True, exist_ok=True)
    files.write_text(manifest, json.dumps(info))


def _embed_part(encoder, paths, part, batch_size, skip_unreadable, on_progress):
    """Embeds one part: `places` of the images within it, `embeddings`, and `skipped` reasons."""
    places, found, skipped = [], [], {}

    def skip(place):
        if not Path(paths[place]).is_file():
            raise FileNotFoundError(f"{paths[place]} is gone, or cannot be reached any more")
        skipped[place] = decoding.why_unreadable(paths[place])

    batches = _embedded(encoder, paths, batch_size, skip if skip_unreadable else None)
    for batch_places, batch in batches:
        places.append(batch_places)
        found.append(batch)
        on_progress(len(batch))
    with files.replacing(part) as file:
        np.savez(
            file,
            places=np.concatenate([*places, np.zeros(0, np.int64)]),
            embeddings=np.concatenate([*found, np.zeros([0, encoder.embedding_size], np.float32)]),
            skipped=np.array(list(skipped), np.int64),
            reasons=np.array(list(skipped.values()), str),
        )


def _embedded(
    encoder: ImageEncoder, paths, batch_size: int, on_unreadable: Callable | None = None
) -> Iterator:
    """Yields (places int64 [b], embeddings float32 [b, dim]) of image files, in order.

    An op that cannot decode does not know whose bytes it has: views that fail are left out, and
    the gaps in the places tell which they were.
    """

    def look(place, path):
        return place, encoder.view.of_bytes(tf.io.read_file(path))

    numbered = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), list(paths)))
    views = numbered.map(look, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    expected = 0
    for places, pixels in views.batch(batch_size).prefetch(2):
        places = places.numpy()
        _tell_gaps(paths, places, expected, on_unreadable)
        yield places, encoder(pixels)
        expected = places[-1] + 1
    _tell_gaps(paths, np.array([len(paths)]), expected, on_unreadable)


def _tell_gaps(paths, places, expected, on_unreadable):
    for place in np.setdiff1d(np.arange(expected, places[-1]), places).tolist():
        if on_unreadable is None:
            reason = decoding.why_unreadable(paths[place])
            raise UnreadableImageError(
                f"{paths[place]} cannot be read: {reason}. Mend or remove it, or skip what cannot "
                "be read (--skip_unreadable)."
            )
        on_unreadable(place)


def _join(parts, images, output, info):
    """Makes one file of all parts, which follow each other in order."""
    kept, skipped = [], []
    for part in parts:
        with np.load(part) as arrays:
            start = int(part.stem)
            kept.append(start + arrays["places"])
            skipped += zip(start + arrays["skipped"], arrays["reasons"].tolist(), strict=True)
    kept = np.concatenate(kept)
    if not len(kept):
        raise ValueError(f"None of the {len(images)} images can be read, e.g. {skipped[0][1]}")
    if skipped:
        lines = [f"{images.paths[i]}\t{why}\n" for i, why in skipped]
        files.write_text(f"{output}.skipped.txt", "".join(lines))
        logging.warning("Skipped %d images, see %s.skipped.txt", len(skipped), output)
    rows = (np.load(part)["embeddings"] for part in parts)
    paths, classes = np.array(images.paths)[kept], np.array(images.classes)[kept]
    embeddings.write(output, rows, paths, classes, info)
