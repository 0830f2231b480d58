"""The README's way from a folder of images to a search page and an exported model."""

import re
import shlex
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from ccpdml import data, serving
from tests import programs

ROOT = Path(__file__).parent.parent
SECTION = "## Your own images, in five commands"
# Bindings that make the run a short one.
SHORT = ("train.steps = 40", "train.evaluate_every = 20", "small_cnn.filters = (8, 16)")
NUM_TRAIN, NUM_TEST = 12, 4


def commands():
    """The shell commands of the section."""
    section = (ROOT / "README.md").read_text().split(SECTION)[1]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1).splitlines()


def write_photos(folder):
    """PNG files of characters, in folders as the section asks for."""
    glyphs = data.load("glyphs").train.select_classes(range(NUM_TRAIN + NUM_TEST))
    for index, (pixels, label) in enumerate(zip(glyphs.images, glyphs.labels, strict=True)):
        part = "train" if label < NUM_TRAIN else "test"
        path = folder / part / f"class {label:02d}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(path)


def run(command, folder):
    """Runs a command of the README in a folder; returns what it printed."""
    python, program, *arguments = shlex.split(command)
    assert python == ".venv/bin/python", command
    name = program.removeprefix("experiments/")
    if name == "run.py":
        arguments += [f"--gin_bindings={binding}" for binding in SHORT]
    code, printed = programs.run_in(folder, name, *arguments)
    assert code is None, code
    return printed


def test_a_folder_of_images_becomes_a_search_page_and_an_exported_model(
    tmp_path, characters_drawn_once
):
    install, *rest = commands()
    assert len(rest) == 4
    assert "pip install -r requirements.txt ." in install  # Done for these tests already.
    write_photos(tmp_path / "photos")
    (tmp_path / "gin").symlink_to(ROOT / "gin")
    outputs = [run(command, tmp_path) for command in rest]
    gallery = serving.read_embeddings(tmp_path / "photos.npz")
    files = sorted(path.relative_to(tmp_path) for path in (tmp_path / "photos").rglob("*.png"))
    assert sorted(gallery.paths) == sorted(map(str, files))
    assert set(gallery.classes) == {f"class {label:02d}" for label in range(NUM_TRAIN + NUM_TEST)}
    assert "whose class is known" in outputs[2]
    assert (tmp_path / "search.html").stat().st_size > 10_000
    model = tf.saved_model.load(str(tmp_path / "exported" / "saved_model"))
    images = [tf.io.read_file(str(tmp_path / path)) for path in gallery.paths[:5]]
    found = model.signatures["serving_default"](images=tf.stack(images))["embeddings"]
    np.testing.assert_allclose(found, gallery.embeddings[:5], atol=1e-5)
    found = model.signatures["search"](images=tf.stack(images))["paths"]
    assert [path.decode() for path in found[:, 0].numpy()] == gallery.paths[:5].tolist()
