"""BN-Inception in PyTorch, written apart from ours, and what it made of one image.

python tests/models/torch_twin.py writes the fixtures beside it; that needs PyTorch 2. Names and
shapes are those of the public state dict.
"""

import pathlib
import zlib

import numpy as np

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
IMAGE_SIZE = 97  # Odd sizes on the way down, where rounding of borders shows.

CHANNELS = {
    "3a": (192, 64, 64, 64, 64, 96, 32),
    "3b": (256, 64, 64, 96, 64, 96, 64),
    "3c": (320, 0, 128, 160, 64, 96, 0),
    "4a": (576, 224, 64, 96, 96, 128, 128),
    "4b": (576, 192, 96, 128, 96, 128, 128),
    "4c": (576, 160, 128, 160, 128, 160, 128),
    "4d": (608, 96, 128, 192, 160, 192, 128),
    "4e": (608, 0, 128, 192, 192, 256, 0),
    "5a": (1056, 352, 192, 320, 160, 224, 128),
    "5b": (1024, 352, 192, 320, 192, 224, 128),
}


def convolutions():
    """Yields (name, channels in, channels out, size) of every convolution."""
    yield "conv1_7x7_s2", 3, 64, 7
    yield "conv2_3x3_reduce", 64, 64, 1
    yield "conv2_3x3", 64, 192, 3
    for block, (into, one, reduced, three, double_reduced, double, pool) in CHANNELS.items():
        prefix = f"inception_{block}_"
        if one:
            yield f"{prefix}1x1", into, one, 1
        yield f"{prefix}3x3_reduce", into, reduced, 1
        yield f"{prefix}3x3", reduced, three, 3
        yield f"{prefix}double_3x3_reduce", into, double_reduced, 1
        yield f"{prefix}double_3x3_1", double_reduced, double, 3
        yield f"{prefix}double_3x3_2", double, double, 3
        if pool:
            yield f"{prefix}pool_proj", into, pool, 1


def state_dict():
    """Random weights, the same wherever they are made: name -> float32 array."""
    arrays = {}
    for name, into, out, size in convolutions():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        deviation = (2.0 / (into * size * size)) ** 0.5
        arrays[f"{name}.weight"] = deviation * rng.normal(size=(out, into, size, size))
        arrays[f"{name}.bias"] = 0.1 * rng.normal(size=out)
        # As in the public file, the vectors of batch normalization may be [1, n].
        arrays[f"{name}_bn.weight"] = rng.uniform(0.5, 1.5, size=(1, out))
        arrays[f"{name}_bn.bias"] = 0.1 * rng.normal(size=(1, out))
        arrays[f"{name}_bn.running_mean"] = 0.1 * rng.normal(size=(1, out))
        arrays[f"{name}_bn.running_var"] = rng.uniform(0.5, 1.5, size=(1, out))
    arrays["last_linear.weight"] = np.zeros((10, 1024))
    arrays["last_linear.bias"] = np.zeros(10)
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def image():
    """One random image, float32 [1, height, width, 3]."""
    rng = np.random.default_rng(7)
    return rng.normal(size=(1, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.float32)


def features(arrays, images):
    """The feature map of images, computed by PyTorch: both [batch, height, width, channels]."""
    import torch
    from torch.nn import functional as F

    weights = {name: torch.tensor(np.squeeze(array)) for name, array in arrays.items()}

    def conv(x, name, stride=1):
        kernel = torch.tensor(arrays[f"{name}.weight"])
        x = F.conv2d(x, kernel, weights[f"{name}.bias"], stride, kernel.shape[-1] // 2)
        statistics = weights[f"{name}_bn.running_mean"], weights[f"{name}_bn.running_var"]
        affine = weights[f"{name}_bn.weight"], weights[f"{name}_bn.bias"]
        return F.relu(F.batch_norm(x, *statistics, *affine, training=False, eps=1e-5))

    def halve(x):
        return F.max_pool2d(x, 3, stride=2, ceil_mode=True)

    x = conv(torch.tensor(images).permute(0, 3, 1, 2), "conv1_7x7_s2", 2)
    x = halve(conv(conv(halve(x), "conv2_3x3_reduce"), "conv2_3x3"))
    for block, (_, one, *_, pool) in CHANNELS.items():
        prefix, stride = f"inception_{block}_", 1 if one else 2
        parts = [conv(x, f"{prefix}1x1")] if one else []
        parts.append(conv(conv(x, f"{prefix}3x3_reduce"), f"{prefix}3x3", stride))
        double = conv(conv(x, f"{prefix}double_3x3_reduce"), f"{prefix}double_3x3_1")
        parts.append(conv(double, f"{prefix}double_3x3_2", stride))
        if not pool:
            parts.append(halve(x))
        elif block == "5b":
            pooled = F.max_pool2d(x, 3, stride=1, padding=1, ceil_mode=True)
            parts.append(conv(pooled, f"{prefix}pool_proj"))
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1, ceil_mode=True, count_include_pad=True)
            parts.append(conv(pooled, f"{prefix}pool_proj"))
        x = torch.cat(parts, dim=1)
    return x.permute(0, 2, 3, 1).numpy()


def small_tensors():
    """A few tensors of all kinds that `torch.save` treats differently."""
    import torch

    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    return {
        "plain": base,
        "transposed": base.permute(2, 0, 1),
        "part": base[1, :, 1:3],
        "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


def write_fixtures():
    """Writes the feature map, and the small tensors in both of PyTorch's formats."""
    import torch

    FIXTURES.mkdir(exist_ok=True)
    np.savez(FIXTURES / "bn_inception_features.npz", features=features(state_dict(), image()))
    tensors = small_tensors()
    torch.save(tensors, FIXTURES / "zip.pth")
    torch.save(tensors, FIXTURES / "stream.pth", _use_new_zipfile_serialization=False)
    arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    np.savez(FIXTURES / "small_tensors.npz", **arrays)


if __name__ == "__main__":
    write_fixtures()
