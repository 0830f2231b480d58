"""Encoders on the Hugging Face Hub, which is a local folder here."""

import json
import shutil
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import compat, data, layers, models, serving
from ccpdml.serving import hugging_face

ADDRESS = "hf://me/birds"
keras_3 = pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 knows no hf://")


@pytest.fixture
def encoder():
    network = models.build_encoder((8, 8, 3), models.small_cnn, embedding_size=4)
    return serving.ImageEncoder(
        models.standalone(network, layers.LipschitzNormalization()),
        view=data.views.CenterCrop(size=8, short_side=8),
        preprocess=models.scale_to_unit_range,
        info={
            "view": {"name": "CenterCrop", "size": 8, "short_side": 8},
            "preprocess": "scale_to_unit_range",
        },
    )


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """`huggingface_hub` with a folder in the place of the network; gives the folder."""
    place = tmp_path / "hub"

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, name, exist_ok):
            assert exist_ok
            (place / name).mkdir(parents=True, exist_ok=True)
            return types.SimpleNamespace(repo_id=name)

        def upload_folder(self, repo_id, folder_path, **_):
            shutil.copytree(folder_path, place / repo_id, dirs_exist_ok=True)
            for folder in (place / repo_id).iterdir():
                if folder.is_dir():
                    folder.rmdir()  # The Hub keeps files: a folder without any is lost.

    def snapshot_download(repo_id, **_):
        return str(place / repo_id)

    module = types.SimpleNamespace(HfApi=Api, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    if compat.KERAS_3:
        keras = sys.modules[tf.keras.Model.__module__.split(".")[0]]
        monkeypatch.setattr(keras.src.saving.saving_lib, "huggingface_hub", module)
    return place


@keras_3
def test_an_encoder_comes_back_from_the_hub_as_it_was(encoder, hub, tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(3, 8, 8, 3), dtype=np.uint8)
    expected = encoder.embed(pixels)
    hugging_face.upload(encoder, ADDRESS, "# Birds\n")
    repository = hub / "me" / "birds"
    names = {path.name for path in repository.iterdir()}
    assert names == {
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "encoder.json",
        "README.md",
    }
    assert (repository / "README.md").read_text() == "# Birds\n"
    loaded = serving.load_encoder(ADDRESS)
    np.testing.assert_array_equal(loaded.embed(pixels), expected)
    assert loaded.info["path"] == ADDRESS
    assert loaded.info["fingerprint"] == encoder.info["fingerprint"]
    shutil.copytree(repository, tmp_path / "copy")
    np.testing.assert_array_equal(serving.load_encoder(tmp_path / "copy").embed(pixels), expected)
    # Keras alone, as the card of Keras says.
    model = tf.keras.models.load_model(ADDRESS)
    inputs = models.scale_to_unit_range(pixels)
    np.testing.assert_allclose(model(inputs), expected, atol=1e-6)


@keras_3
def test_what_came_from_the_hub_runs_nothing_that_it_names(encoder, hub):
    hugging_face.upload(encoder, ADDRESS, "")
    path = hub / "me" / "birds" / "config.json"
    config = json.loads(path.read_text())
    config["config"]["layers"][1] |= {"class_name": "Lambda"}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"birds: expected layers of Keras that only compute"):
        serving.load_encoder(ADDRESS)
    (path.parent / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match="There is no model.weights.h5"):
        serving.load_encoder(ADDRESS)


@pytest.mark.parametrize("address", ["hf://birds", "hf://a/b/c", "hf://a/../b", "me/birds"])
def test_another_address_is_refused(hub, address):
    with pytest.raises(ValueError, match="hf://<account>/<name>. Received"):
        hugging_face.check(address)


def test_what_is_missing_is_named(monkeypatch, tmp_path, encoder):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    if compat.KERAS_3:
        with pytest.raises(ImportError, match=r"pip install 'ccpdml\[huggingface\]'"):
            serving.load_encoder(ADDRESS)
        return
    for use in (
        lambda: serving.load_encoder(ADDRESS),
        lambda: hugging_face.write(encoder, tmp_path, ""),
    ):
        with pytest.raises(ImportError, match="takes Keras 3"):
            use()
