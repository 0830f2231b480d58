"""Files are data: whatever they hold, reading them runs, imports and opens nothing they name."""

import ast
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import models, serving
from ccpdml.models import torch_files, weight_files
from tests.serving import fixtures

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run directory, made once."""
    fixtures.make_run(tmp_path_factory.mktemp("made") / "run")
    return tmp_path_factory.getbasetemp() / "made0" / "run"


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """What is there once something hostile was run: by a command, an import or a call."""
    place = tmp_path / "mark"
    (tmp_path / "modules").mkdir()
    text = f"open({str(place)!r}, 'w').close()\nclass Layer: pass\ndef work(*given): pass\n"
    (tmp_path / "modules" / "hostile_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield place
    assert not place.exists()
    assert "hostile_module" not in sys.modules


def copy(made, place, **changes):
    """A copy of the run whose `encoder.json` has been changed."""
    place.mkdir()
    (place / "encoder.keras").write_bytes((made / "encoder.keras").read_bytes())
    about = json.loads((made / "encoder.json").read_text()) | changes
    (place / "encoder.json").write_text(json.dumps(about))
    return place


class Spiteful:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize(
    "changes",
    [
        {"view": {"name": "os:system", "command": "touch {mark}"}},
        {"view": {"name": "hostile_module:Layer"}},
        {"view": {"name": "CenterCrop", "size": 16, "short_side": "20"}},
        {"view": {"name": "CenterCrop", "size": 16, "short_side": 10**9}},
        {"view": {"name": "CenterCrop", "size": True, "short_side": 20}},
        {"view": {"name": "CenterCrop", "size": 16, "__class__": 1}},
        {"view": {"name": "Resize"}},
        {"view": {"name": ["CenterCrop"]}},
        {"view": "os:getcwd"},
        {"preprocess": "hostile_module:work"},
        {"preprocess": "os:system"},
        {"preprocess": {"name": "os:system"}},
    ],
)
def test_an_encoder_json_chooses_from_a_closed_table(made, tmp_path, mark, changes):
    changes = json.loads(json.dumps(changes).replace("{mark}", str(mark)))
    place = copy(made, tmp_path / "run", **changes)
    with pytest.raises(ValueError, match="encoder.json.*Received:"):
        serving.load_encoder(place)


def test_names_of_before_the_table_are_still_read(made, tmp_path):
    former = {
        "view": {"name": "ccpdml.data.views:CenterCrop", "size": 16, "short_side": 20},
        "preprocess": "ccpdml.models.inputs:scale_to_unit_range",
    }
    encoder = serving.load_encoder(copy(made, tmp_path / "run", **former))
    assert (encoder.view.size, encoder.view.short_side) == (16, 20)
    assert encoder.preprocess is models.scale_to_unit_range


def with_layer(made, place, **changes):
    """A copy of the run whose network has a layer of another kind."""
    copy(made, place)
    with zipfile.ZipFile(made / "encoder.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    configuration = json.loads(parts["config.json"])
    configuration["config"]["layers"][1].update(changes)
    parts["config.json"] = json.dumps(configuration)
    with zipfile.ZipFile(place / "encoder.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return place


@pytest.mark.parametrize(
    "changes",
    [
        {"module": "hostile_module", "class_name": "Layer", "registered_name": "Layer"},
        {"module": "os", "class_name": "system", "registered_name": None},
        {"module": "builtins", "class_name": "exec", "registered_name": None},
        {"module": "keras.utils", "class_name": "get_file", "registered_name": None},
        {"module": "keras.models", "class_name": "load_model", "registered_name": None},
        {"module": "keras.layers", "class_name": "TFSMLayer", "registered_name": None},
        {"class_name": "function", "config": "system", "module": "os"},
        {
            "module": "keras.src.layers.core.tf_op_layer",
            "class_name": "TFOpLambda",
            "config": {"name": "write", "function": "io.write_file"},
        },
    ],
)
def test_a_keras_file_has_layers_that_only_compute(made, tmp_path, mark, changes):
    place = with_layer(made, tmp_path / "run", **changes)
    with pytest.raises(ValueError, match="layers of Keras that only compute"):
        serving.load_encoder(place)
    with pytest.raises(ValueError, match="layers of Keras that only compute"):
        models.saved_network((16, 16, 3), place / "encoder.keras")


def test_a_keras_file_has_no_pickled_weights(made, tmp_path, mark):
    place = copy(made, tmp_path / "run")
    np.savez(tmp_path / "weights.npz", **{"a": np.array([Spiteful(mark)])})
    with zipfile.ZipFile(made / "encoder.keras") as archive:
        parts = {name: archive.read(name) for name in ("config.json", "metadata.json")}
    with zipfile.ZipFile(place / "encoder.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.write(tmp_path / "weights.npz", "model.weights.npz")
    with pytest.raises(ValueError, match=r"encoder\.keras.*model\.weights\.h5"):
        serving.load_encoder(place)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_lambda_in_a_model_is_refused(made, tmp_path, mark, kind):
    images = tf.keras.Input((16, 16, 3))
    place = str(mark)
    run = tf.keras.layers.Lambda(
        lambda x: (open(place, "w").close(), x)[1], output_shape=(16, 16, 3)
    )
    model = tf.keras.Model(images, run(images))
    mark.unlink(missing_ok=True)  # Keras may call it to build the model.
    model.save(tmp_path / f"model.{kind}")
    with pytest.raises(ValueError, match="layers of Keras that only compute"):
        models.saved_network((16, 16, 3), tmp_path / f"model.{kind}")
    # Keras 2 goes by the content: a file of the older kind under the name of the new one.
    place = copy(made, tmp_path / "run")
    (place / "encoder.keras").write_bytes((tmp_path / f"model.{kind}").read_bytes())
    with pytest.raises(ValueError, match="encoder.keras"):
        serving.load_encoder(place)


def test_arrays_are_never_unpickled(tmp_path, mark):
    arrays = {"paths": np.array(["a"]), "classes": np.array(["a"]), "info": np.array("{}")}
    np.savez(tmp_path / "g.npz", embeddings=np.array([Spiteful(mark)]), **arrays)
    for read in (serving.read_embeddings, lambda path: weight_files.read("bn_inception", path)):
        with pytest.raises(ValueError, match="allow_pickle=False"):
            read(tmp_path / "g.npz")


def test_a_gallery_names_no_place_that_is_opened(made, tmp_path, mark):
    hostile = copy(made, tmp_path / "run", view={"name": "hostile_module:Layer"})
    info = {"encoder": {"fingerprint": "0", "path": str(hostile)}}
    arrays = {"paths": np.array(["a.png"]), "classes": np.array([""])}
    arrays |= {"embeddings": np.zeros([1, 6], np.float32), "info": np.array(json.dumps(info))}
    np.savez(tmp_path / "g.npz", **arrays)
    Image.new("RGB", (20, 20)).save(tmp_path / "query.png")
    gallery = serving.read_embeddings(tmp_path / "g.npz")
    with pytest.raises(ValueError, match=r"give it \(--encoder\)"):
        serving.embed_queries(tmp_path / "query.png", gallery)


def test_a_state_dict_has_tensors_only(tmp_path, mark):
    with zipfile.ZipFile(tmp_path / "hostile.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Spiteful(mark)}))
    with pytest.raises(ValueError, match="system, which is no tensor"):
        torch_files.load(tmp_path / "hostile.pth")


def test_no_code_of_ours_asks_for_pickles():
    paths = [path for room in ("ccpdml", "experiments") for path in (ROOT / room).rglob("*.py")]
    assert len(paths) > 100
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "safe_mode"):
                wanted = node.arg == "safe_mode"
                assert getattr(node.value, "value", None) is wanted, path
            if isinstance(node, ast.Import) and "pickle" in [each.name for each in node.names]:
                assert path.name == "torch_files.py", path
