"""ResNet-50 of torchvision and timm against a twin in NumPy, and the files its weights come in."""

import json
import pickle
import sys
import types
import zipfile
import zlib

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import models
from ccpdml.models import import_weights, safetensors_files, torch_files, weight_files
from tests.models import torch_twin as bn_inception

STAGES = {"layer1": (3, 64, 64), "layer2": (4, 256, 128), "layer3": (6, 512, 256)}
STAGES |= {"layer4": (3, 1024, 512)}


def convolutions():
    """Yields (name, name of the normalization, shape) as the public state dicts have them."""
    yield "conv1", "bn1", (64, 3, 7, 7)
    for stage, (num_blocks, into, width) in STAGES.items():
        for block in range(num_blocks):
            prefix = f"{stage}.{block}."
            yield f"{prefix}conv1", f"{prefix}bn1", (width, into, 1, 1)
            yield f"{prefix}conv2", f"{prefix}bn2", (width, width, 3, 3)
            yield f"{prefix}conv3", f"{prefix}bn3", (4 * width, width, 1, 1)
            if block == 0:
                yield f"{prefix}downsample.0", f"{prefix}downsample.1", (4 * width, into, 1, 1)
            into = 4 * width


def state_dict():
    """Random weights by the names of torchvision, the same wherever they are made."""
    arrays = {"fc.weight": np.zeros((10, 2048)), "fc.bias": np.zeros(10)}
    for name, norm, shape in convolutions():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        arrays[f"{name}.weight"] = rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5
        # Small variances among them, where the epsilon shows.
        variance = 10 ** rng.uniform(-4, 0, size=shape[0])
        arrays[f"{norm}.weight"] = rng.uniform(0.3, 0.9, size=shape[0]) * variance**0.5
        arrays[f"{norm}.bias"] = 0.1 * rng.normal(size=shape[0])
        arrays[f"{norm}.running_mean"] = 0.1 * rng.normal(size=shape[0])
        arrays[f"{norm}.running_var"] = variance
        arrays[f"{norm}.num_batches_tracked"] = np.array(7)
    return {name: np.asarray(each, np.float32) for name, each in arrays.items()}


def twin(arrays, images):
    """The feature map by the definition of torchvision, in float64: [batch, channels, h, w]."""

    def windows(x, size, stride, border):
        x = np.pad(x, [(0, 0), (0, 0), (border, border), (border, border)])
        x = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
        return x[:, :, ::stride, ::stride]

    def conv(x, name, norm, stride=1):
        kernel = arrays[f"{name}.weight"].astype(np.float64)
        size = kernel.shape[-1]
        x = np.tensordot(windows(x, size, stride, size // 2), kernel, [(1, 4, 5), (1, 2, 3)])
        x = x - arrays[f"{norm}.running_mean"]
        x = x / np.sqrt(arrays[f"{norm}.running_var"].astype(np.float64) + 1e-5)
        x = x * arrays[f"{norm}.weight"] + arrays[f"{norm}.bias"]
        return np.moveaxis(x, -1, 1)

    x = np.maximum(conv(images, "conv1", "bn1", 2), 0)
    x = windows(x, 3, 2, 1).max(axis=(4, 5))
    for stage, (num_blocks, *_) in STAGES.items():
        for block in range(num_blocks):
            prefix, stride = f"{stage}.{block}.", 2 if block == 0 and stage != "layer1" else 1
            inner = np.maximum(conv(x, f"{prefix}conv1", f"{prefix}bn1"), 0)
            inner = np.maximum(conv(inner, f"{prefix}conv2", f"{prefix}bn2", stride), 0)
            inner = conv(inner, f"{prefix}conv3", f"{prefix}bn3")
            if block == 0:
                x = conv(x, f"{prefix}downsample.0", f"{prefix}downsample.1", stride)
            x = np.maximum(inner + x, 0)
    return x


@pytest.fixture(scope="module")
def weights():
    return state_dict()


def test_the_converted_network_equals_its_twin(weights):
    images = np.random.default_rng(7).normal(size=(1, 3, 49, 66))
    expected = np.moveaxis(twin(weights, images), 1, -1)
    model = models.resnet50_torch((49, 66, 3), weights=None)
    weight_files.set_weights(model, import_weights.of_torch(weights))
    result = model(np.moveaxis(images, 1, -1).astype(np.float32), training=False)
    assert result.shape == (1, 2, 3, 2048)
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max())
    # Torchvision's 25,557,032 without the classifier, and two statistics of 26,560 channels.
    trained = sum(int(np.prod(each.shape)) for each in model.trainable_weights)
    assert trained == 25_557_032 - 2049 * 1000
    assert sum(int(np.prod(each.shape)) for each in model.weights) == trained + 2 * 26_560
    assert model.preprocess is models.standardize


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return thing.pid if isinstance(thing, _Storage) else None


class _Storage:
    def __init__(self, kind, key, count):
        self.pid = ("storage", kind, key, "cpu", count)


class _Tensor:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts


def write_archive(path, arrays, monkeypatch, wrap=lambda tensors: tensors, kind="FloatStorage"):
    """Writes what `torch.save` writes, without PyTorch: modules of its names stand in for it."""
    fake, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type(kind, (), {"__module__": "torch"})
    setattr(fake, kind, storage)

    def rebuild(*parts):
        return parts

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    tensors = {}
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, array) in enumerate(arrays.items()):
            strides = tuple(each // array.itemsize for each in array.strides)
            place = _Storage(storage, str(key), array.size)
            tensors[name] = _Tensor(place, 0, array.shape, strides, False, {})
            archive.writestr(f"archive/data/{key}", array.tobytes())
        with archive.open("archive/data.pkl", "w") as file:
            _Pickler(file).dump(wrap(tensors))


def small():
    rng = np.random.default_rng(0)
    arrays = {"conv1.weight": rng.normal(size=(4, 3, 2, 2)), "bn1.running_mean": np.ones(4)}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.mark.parametrize("place", ["state_dict", "model"])
def test_checkpoints_and_parallel_models_are_read(tmp_path, monkeypatch, place):
    path = tmp_path / "checkpoint.pth"
    arrays = {f"module.{name}": array for name, array in small().items()}
    wrap = lambda tensors: {"epoch": 3, "optimizer": {"state": {}}, place: tensors}  # noqa: E731
    write_archive(path, arrays, monkeypatch, wrap)
    found = import_weights.read(path)
    assert found.keys() == {"conv1/kernel", "bn1/mean"}
    expected = small()["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(found["conv1/kernel"], expected)


def test_bfloat16_is_read(tmp_path, monkeypatch):
    array = np.float32([[1.5, -2.0], [3.140625, 1e30]])
    halves = (array.view(np.uint32) >> 16).astype("<u2")
    write_archive(tmp_path / "b.pth", {"a": halves}, monkeypatch, kind="BFloat16Storage")
    (found,) = torch_files.load(tmp_path / "b.pth").values()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, array, rtol=2**-7)
    np.testing.assert_array_equal(found[0], array[0])


def test_a_whole_bn_inception_is_read_wrapped_prefixed_and_in_bfloat16(tmp_path, monkeypatch):
    arrays = bn_inception.state_dict()
    halves = {f"module.{n}": (a.view(np.uint32) >> 16).astype("<u2") for n, a in arrays.items()}
    wrap = lambda tensors: {"state_dict": tensors, "epoch": 1}  # noqa: E731
    write_archive(tmp_path / "a.pth", halves, monkeypatch, wrap, "BFloat16Storage")
    found = import_weights.read(tmp_path / "a.pth")
    assert weight_files.network_of(found) == "bn_inception"
    model = models.bn_inception((64, 64, 3), weights=None)
    weight_files.set_weights(model, found, tmp_path / "a.pth")
    expected = import_weights.of_torch(arrays)
    for name in ("conv1_7x7_s2/kernel", "inception_5b_pool_proj_bn/variance"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2**-7)
    del found["inception_5b_pool_proj_bn/variance"]
    with pytest.raises(ValueError, match=r"a\.pth: .*inception_5b_pool_proj_bn/variance .*none"):
        weight_files.set_weights(model, found, tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "ComplexFloatStorage"}, "kind that is not read, ComplexFloatStorage"),
        ({"wrap": lambda tensors: {"epoch": 3, "args": {"lr": 0.1}}}, "at the top there is epoch"),
        ({"wrap": lambda tensors: [1]}, "a list in place of"),
        ({"wrap": lambda tensors: {"a": _Tensor(1, 0, (2,), (1,))}}, "no readable state dict"),
        ({"wrap": lambda tensors: {"a": _Tensor(1, 0, "ab", (1.5, None))}}, "a: .*has the shape"),
    ],
)
def test_odd_files_are_refused_with_the_cause(tmp_path, monkeypatch, change, message):
    write_archive(tmp_path / "odd.pth", small(), monkeypatch, **change)
    with pytest.raises(ValueError, match=message):
        torch_files.load(tmp_path / "odd.pth")


def write_safetensors(path, arrays, **changes):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        start, data = len(data), data + array.tobytes()
        entry = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, len(data)]}
        header[name] = entry | changes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_safetensors_are_read(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", small())
    found = safetensors_files.load(tmp_path / "a.safetensors")
    assert found.keys() == small().keys()
    for name, array in small().items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "changes", [{"dtype": "F8_E4M3"}, {"shape": [-1]}, {"data_offsets": [0, 10**9]}, {"shape": "a"}]
)
def test_odd_safetensors_are_refused(tmp_path, changes):
    write_safetensors(tmp_path / "a.safetensors", small(), **changes)
    with pytest.raises(ValueError, match="no readable .safetensors file"):
        safetensors_files.load(tmp_path / "a.safetensors")


def test_a_keras_file_with_a_missing_entry_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("conv1").attrs["weight_names"] = ["conv1/kernel:0"]
    with pytest.raises(ValueError, match="no readable file of Keras weights"):
        import_weights.read(tmp_path / "a.h5")


def test_half_precision_of_timm_becomes_weights(tmp_path, weights):
    part = {name: array for name, array in weights.items() if name.startswith("layer1.0")}
    part["fc.bias"] = weights["fc.bias"]
    half = {name: array.astype(np.float16) for name, array in part.items()}
    write_safetensors(tmp_path / "model.safetensors", half, dtype="F16")
    arrays = import_weights.read(tmp_path / "model.safetensors")
    assert weight_files.network_of(arrays) == "resnet50_torch"
    expected = half["layer1.0.bn2.running_var"]
    np.testing.assert_array_equal(arrays["layer1_0_bn2/variance"], expected)
    with pytest.raises(ValueError, match="Expected the weights of bn_inception or resnet50_torch"):
        weight_files.network_of({"conv1/kernel": np.zeros(1)})


def test_a_whole_resnet_is_read_prefixed_and_in_bfloat16(tmp_path, weights):
    halves = {f"module.{n}": (a.view(np.uint32) >> 16).astype("<u2") for n, a in weights.items()}
    write_safetensors(tmp_path / "model.safetensors", halves, dtype="BF16")
    found = import_weights.read(tmp_path / "model.safetensors")
    model = models.resnet50_torch((32, 32, 3), weights=None)
    weight_files.set_weights(model, found)
    kernel = weights["layer4.2.conv3.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(model.get_layer("layer4_2_conv3").kernel, kernel, rtol=2**-7)
    # A ResNet-18 or 34 has blocks of two convolutions.
    with pytest.raises(ValueError, match=r"resnet50_torch needs layer1_0_conv3/kernel.*none"):
        weight_files.set_weights(model, {k: v for k, v in found.items() if "conv3" not in k})


def test_weights_that_do_not_fit_are_named():
    convolution = tf.keras.layers.Conv2D(2, 3, use_bias=False, name="conv")
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), convolution], name="net")
    for wrong, message in ((None, "of shape.*none"), (np.full((3, 3, 1, 2), "a"), "in numbers")):
        with pytest.raises(ValueError, match=f"net needs conv/kernel {message}"):
            weight_files.set_weights(model, {"conv/kernel": wrong})
