"""Embeddings of a finished run for TensorBoard's projector, with a picture of each image."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tensorboard.plugins import projector

from ccpdml import files
from ccpdml.data.image_set import ImageSet
from ccpdml.reports import figures, sheet

MAX_POINTS = 5000  # TensorBoard's t-SNE takes no more than twice that.
MAX_SIDE = 4096  # Of the sprite in pixels; browsers refuse more than 8192.
TILE_SIZE = 64


def write(directory: str | Path, embeddings: np.ndarray, image_set: ImageSet) -> None:
    """Writes embeddings, names and a sprite of pictures.

    At most `MAX_POINTS` images, evenly spaced over the set, are taken.

    Args:
        directory: folder of an event file, in which TensorBoard looks for them.
        embeddings: float [n, dim].
        image_set: the images.
    """
    with files.filling(directory) as folder:
        _write(folder, embeddings, image_set)


def _write(directory, embeddings, image_set):
    rows = figures.evenly_spaced(np.arange(len(embeddings)), MAX_POINTS)
    np.savetxt(directory / "embeddings.tsv", embeddings[rows], fmt="%.6g", delimiter="\t")
    (directory / "metadata.tsv").write_text(_metadata(image_set, rows), encoding="utf-8")
    tile_size = _draw_sprite(image_set.to_draw, rows, directory / "sprite.png")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "test images"
    embedding.tensor_path = "embeddings.tsv"
    embedding.metadata_path = "metadata.tsv"
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend([tile_size, tile_size])
    projector.visualize_embeddings(str(directory), config)


def _metadata(image_set, rows):
    """A line per point: class and name of the image."""
    names = [(image_set.names_of(row), image_set.paths[row]) for row in rows]
    lines = [("class", "image"), *names]
    return "".join("\t".join(" ".join(name.split()) for name in line) + "\n" for line in lines)


def _draw_sprite(images, rows, path):
    """Draws pictures side by side in a square; returns the size of each in pixels."""
    num_columns = math.ceil(math.sqrt(len(rows)))
    size = min(TILE_SIZE, MAX_SIDE // num_columns)
    sprite = Image.new("RGB", (num_columns * size, num_columns * size))
    for place, row in enumerate(rows):
        top, left = divmod(place, num_columns)
        picture = ImageOps.pad(sheet.picture(images, row), (size, size))
        sprite.paste(picture, (left * size, top * size))
    sprite.save(path)
    return size
