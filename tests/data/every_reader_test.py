"""What every data set that `data.load` knows must be; a new reader needs a line in EXAMPLES."""

import inspect
import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from ccpdml import bounds, data
from ccpdml.data import loading
from tests.data import miniatures

LETTERS = {
    "script": "greek",
    "typefaces": str(Path(matplotlib.get_data_path()) / "fonts" / "ttf"),
    "images_per_class": 3,
    "num_classes": 16,
    "image_size": 16,
}


def vectors(folder):
    """A file of stored features."""
    labels = np.repeat(np.arange(16), 3)
    points = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)
    np.savez(folder / "features.npz", features=points, labels=labels)
    return folder


# name: (function of a folder -> root of a small example of the data set, options)
EXAMPLES = {
    **{name: (make, {}) for name, make in miniatures.MINIATURES.values()},
    "digits": (lambda folder: None, {}),
    "glyphs": (lambda folder: None, {}),
    "characters": (lambda folder: None, LETTERS),
    "features": (vectors, {}),
}
BELONGS_TO_LOAD = set(inspect.signature(loading.load).parameters)

each_reader = pytest.mark.parametrize("name", loading.READERS)


@each_reader
def test_its_parts_share_no_class_are_the_same_when_read_again_and_pass_the_pipeline(
    name, tmp_path
):
    make, options = EXAMPLES[name]
    root = make(tmp_path)
    splits = data.load(name, root, verify_counts=False, **options)
    parts = [splits.train, splits.validation, splits.test]
    names = [name for part in parts for name in part.class_names]
    assert len(set(names)) == len(names)
    for part in [*parts, splits.gallery or splits.test]:
        assert np.unique(part.labels).tolist() == list(range(part.num_classes))
        assert len(part) == len(part.labels) == len(part.images)
    if name != "glyphs":  # Drawn twice in glyphs_test.py; that takes seconds.
        again = data.load(name, root, verify_counts=False, **options)
        assert (splits.test.labels == again.test.labels).all()
        # With digests of all images, by which a resumed run knows its data again.
        assert json.dumps(splits.info) == json.dumps(again.info)
    check_pipeline(splits.test)


def check_pipeline(part):
    """Every image arrives, of one shape, and shows something."""
    view = data.views.Plain() if part.in_memory else data.views.CenterCrop(24, 30)
    batches = [batch.numpy() for batch in data.pipelines.image_batches(part, view, 7)]
    assert sum(map(len, batches)) == len(part)
    assert len({batch.shape[1:] for batch in batches}) == 1
    assert all(np.isfinite(batch).all() and np.ptp(batch) > 0 for batch in batches)


@each_reader
def test_its_options_are_declared_told_and_no_others(name, tmp_path):
    read = loading.READERS[name]
    parameters = list(inspect.signature(read).parameters)
    options = parameters[1:]
    assert parameters[0] == "root"
    assert not BELONGS_TO_LOAD & set(options)  # `load` would keep them to itself.
    assert set(options) <= set(bounds.declared(read))
    assert all(f"{option}:" in inspect.getdoc(read) for option in options)
    with pytest.raises(ValueError, match=r"no_such_option"):
        data.load(name, no_such_option=1)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"digits", "glyphs", "characters"}))
def test_what_is_not_there_is_named(name, tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        data.load(name, tmp_path / "nowhere")
