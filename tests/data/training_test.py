"""Every layout goes the whole way: from files on disk, through training, to test metrics."""

import pathlib

import pytest
import tensorflow as tf

from ccpdml import config, serving, training
from tests.data import miniatures

GIN = pathlib.Path(__file__).parents[2] / "gin"
SQUARE = ["RandomResizedCrop.size = 24", "CenterCrop.size = 24", "CenterCrop.short_side = 28"]
SMALL = [
    "data.load.verify_counts = False",
    "small_cnn.filters = (8, 8)",
    "train.steps = 2",
    "train.evaluate_every = 2",
    "train.classes_per_batch = 4",
    "train.tensorboard = False",
]


def run_files(name):
    """The benchmark's own run with MS-CCP; pairs only for images of your own."""
    if (GIN / f"{name}_ms.gin").exists():
        files = [f"{name}_ms.gin"]
    else:
        files = [f"datasets/{name}.gin", "losses/ms.gin", "methods/pairs.gin"]
    return [GIN / file for file in [*files, "backbones/small.gin"]]


# Views that are not square.
WIDE = [
    "RandomResizedCrop.size = (24, 28)",
    "CenterCrop.size = (24, 28)",
    "CenterCrop.short_side = 28",
]
# Where the way of the images is another one: with queries and a gallery, and with a test set and
# files of every kind. These decode, train compiled, and draw; of the others only the lists differ.
WHOLE = ("inshop", "folder_with_test")


@pytest.fixture
def in_short(views_by_pillow, without_figures):
    """Has a run compile and draw nothing, which takes longer than all else in it."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("key", miniatures.MINIATURES)
def test_every_layout_trains_and_is_evaluated(key, tmp_path, request):
    if key not in WHOLE:
        request.getfixturevalue("in_short")
    name, make = miniatures.MINIATURES[key]
    root = make(tmp_path / "data")
    bindings = [*SMALL, "train.optimizer = @tf.keras.optimizers.Adam", f"data.load.root = '{root}'"]
    bindings += WIDE if key == "folder_with_test" else SQUARE
    config.load(run_files(name), bindings)
    results = training.Experiment(tmp_path / "run").run()
    assert 0 < results["test"]["map_at_r"] <= 1
    assert results["split"]["name"] == name
    assert results["split"]["counts"]["test"]["images"] > 0
    width = 28 if key == "folder_with_test" else 24
    assert serving.load_encoder(tmp_path / "run").pixels_shape == (24, width, 3)


def test_without_data_a_run_stops_at_once_and_says_what_to_try(tmp_path):
    config.load(run_files("sop"), [*SMALL, *SQUARE, f"data.load.root = '{tmp_path}'"])
    with pytest.raises(FileNotFoundError, match="Stanford Online Products was not found"):
        training.Experiment(tmp_path / "run")
    assert not (tmp_path / "run").exists()
