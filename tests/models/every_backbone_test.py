"""What every public backbone must be; those of `models` with an `input_shape` are found here."""

import inspect
from pathlib import Path

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml import models

GIN = Path(__file__).parents[2] / "gin" / "backbones"
SHAPE = (32, 32, 3)
# They take an `input_shape` too; adaptation_test.py tries the last two.
NO_BACKBONES = {"build_encoder", "feature_head", "frozen", "lora"}
OF_HUB = {"from_preset"}  # Needs KerasHub; hub_test.py does the same with each family.
# What arguments get where their default does not fit; a new backbone with others needs a line here.
ARGUMENTS = {"keras_application": {"name": "MobileNet"}}
BACKBONES = {
    name: getattr(models, name)
    for name in models.__all__
    if "input_shape" in inspect.signature(getattr(models, name)).parameters
} | {"saved_network": models.saved_network}
BACKBONES = {name: make for name, make in BACKBONES.items() if name not in NO_BACKBONES | OF_HUB}
# Of any network that someone saved, nobody knows what its images were.
UNKNOWN_INPUT = {"saved_network"}
CONVENTIONS = [
    getattr(models, name)
    for name in models.__all__
    if list(inspect.signature(getattr(models, name)).parameters) == ["images"]
]


def build(name, folder):
    """A backbone with random weights."""
    arguments = dict(ARGUMENTS.get(name, {}))
    if "weights" in inspect.signature(BACKBONES[name]).parameters:
        arguments["weights"] = None
    if name == "saved_network":
        arguments["path"] = folder / "network.keras"
        models.small_cnn(SHAPE, filters=(4,)).save(arguments["path"])
    return BACKBONES[name](SHAPE, **arguments)


def test_there_are_backbones_and_conventions():
    assert len(BACKBONES) >= 8
    assert len(CONVENTIONS) >= 4


# Networks of up to 200 layers are built twice; one test for each, so that it is once and no more.
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_becomes_an_encoder_that_stands_alone(name, tmp_path):
    network = build(name, tmp_path)
    assert len(network.output_shape) in (3, 4), "tokens, or a feature map"
    assert network.output_shape[-1] > 0

    encoder = models.build_encoder(SHAPE, lambda shape: network, embedding_size=5)
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype("uint8")
    if name in UNKNOWN_INPUT:
        assert encoder.preprocess is None
        inputs = tf.cast(images, tf.float32)
    else:
        # One of ours by name: encoder.json and exports tell it to other programs.
        assert encoder.preprocess in CONVENTIONS
        inputs = encoder.preprocess(images)
        assert inputs.dtype == tf.float32
        assert inputs.shape == images.shape

    embeddings = encoder(inputs, training=False)
    assert np.isfinite(embeddings).all()
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0

    alone = models.standalone(encoder)
    scale = np.abs(embeddings).max()
    np.testing.assert_allclose(alone(inputs, training=False), embeddings, atol=1e-5 * scale)
    assert "ccpdml" not in alone.to_json()  # It loads where this library is not installed.


@pytest.mark.parametrize("name", BACKBONES)
def test_gin_knows_it_and_has_a_file_for_it(name):
    assert gin.config._REGISTRY.matching_selectors(name)
    if name not in {"keras_application", "saved_network"}:  # Which network, is to be said.
        file = GIN / f"{name.removesuffix('_cnn')}.gin"
        assert f"@{name}" in file.read_text(encoding="utf-8")
