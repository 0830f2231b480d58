"""BN-Inception against its twin in PyTorch, and the conversion of weights."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import models
from ccpdml.models import import_weights, torch_files, weight_files
from tests import programs

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"


def load_twin():
    spec = importlib.util.spec_from_file_location("torch_twin", HERE / "torch_twin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


twin = load_twin()


@pytest.fixture(scope="module")
def arrays():
    return import_weights.of_torch(twin.state_dict())


def test_the_converted_network_equals_its_twin(arrays):
    model = models.bn_inception((twin.IMAGE_SIZE,) * 2 + (3,), weights=None)
    weight_files.set_weights(model, arrays)
    with np.load(FIXTURES / "bn_inception_features.npz") as stored:
        expected = stored["features"]
    result = model(twin.image(), training=False)
    assert np.abs(expected).mean() > 0.01
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max())


def test_the_stored_features_are_the_twins():
    pytest.importorskip("torch")
    with np.load(FIXTURES / "bn_inception_features.npz") as stored:
        expected = stored["features"]
    result = twin.features(twin.state_dict(), twin.image())
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [224, 227, 64])
def test_the_feature_map_is_a_thirty_second_of_the_image(size):
    model = models.bn_inception((size, size, 3), weights=None)
    side = {224: 7, 227: 7, 64: 2}[size]
    assert model.output_shape == (None, side, side, 1024)


def test_it_has_the_weights_of_the_public_network():
    model = models.bn_inception((64, 64, 3), weights=None)
    expected = sum(a.size for n, a in twin.state_dict().items() if "last_linear" not in n)
    assert sum(int(np.prod(w.shape)) for w in model.weights) == expected


def test_missing_weights_are_an_error_that_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("CCPDML_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="ccpdml import-weights"):
        models.bn_inception((64, 64, 3))


def test_weights_of_another_network_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", **{"conv1_7x7_s2/kernel": np.zeros((3, 3, 3, 64))})
    with pytest.raises(ValueError, match=r"conv1_7x7_s2/kernel of shape \(7, 7, 3, 64\)"):
        models.bn_inception((64, 64, 3), weights=tmp_path / "other.npz")


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_both_formats_of_pytorch_are_read(name):
    loaded = torch_files.load(FIXTURES / name)
    with np.load(FIXTURES / "small_tensors.npz") as expected:
        assert set(loaded) == set(expected.files)
        for key in expected.files:
            np.testing.assert_array_equal(loaded[key], expected[key])


class Spiteful:
    def __reduce__(self):
        return print, ("executed",)


def test_code_in_a_file_is_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "spiteful.pth"
    header = [torch_files._MAGIC, 1001, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(part) for part in [*header, {"a": Spiteful()}, []]))
    with pytest.raises(ValueError, match="builtins.print, which is no tensor"):
        torch_files.load(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a state dict", b"PK\x03\x04"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="state dict"):
        torch_files.load(path)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "short.pth"
    path.write_bytes((FIXTURES / "stream.pth").read_bytes()[:-20])
    with pytest.raises(ValueError, match="ends inside a tensor"):
        torch_files.load(path)


def test_the_command_converts_a_keras_file(arrays, tmp_path):
    model = models.bn_inception((64, 64, 3), weights=None)
    weight_files.set_weights(model, arrays)
    model.save(tmp_path / "source.h5")
    target = tmp_path / "folder" / "bn_inception.npz"
    programs.run("import_weights.py", f"--source={tmp_path / 'source.h5'}", f"--target={target}")
    copy = models.bn_inception((64, 64, 3), weights=target)
    for one, two in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_it_is_a_backbone_whose_batch_norm_can_be_frozen(arrays):
    def backbone(shape):
        network = models.bn_inception(shape, weights=None)
        weight_files.set_weights(network, arrays)
        return network

    encoder = models.build_encoder((64, 64, 3), backbone, freeze_bn=True)
    assert encoder.preprocess is models.subtract_mean_bgr
    assert encoder.output_shape == (None, 128)
    # 69 convolutions with kernel and bias, and the head.
    assert len(encoder.trainable_variables) == 2 * 69 + 1
    images = tf.random.stateless_normal((2, 64, 64, 3), (0, 0))
    copy = models.standalone(encoder)
    np.testing.assert_allclose(copy(images), encoder(images), atol=1e-5)
