"""Two logical CPUs for every test, quiet TensorFlow, and nothing left over from the test before."""

import contextlib
import json
import os
import pathlib
import types

# Before TensorFlow is imported. CUDA_VISIBLE_DEVICES=0 runs the suite on a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import gin
import numpy as np
import pytest
import tensorflow as tf

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_configure():
    """Splits the CPU in two logical devices, so that two replicas can be compared with one."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # The workers share the cores; each with a pool of all of them, they would fight.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)


@pytest.fixture(autouse=True)
def fresh_state():
    """Seeds every generator before a test; clears gin and the dtype policy after it."""
    tf.keras.utils.set_random_seed(0)
    yield
    gin.clear_config()
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def two_replicas():
    """`MirroredStrategy` over the two logical CPUs."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def op_determinism():
    """Makes ops bit-for-bit repeatable during the test."""
    from tensorflow.python.framework import config

    tf.config.experimental.enable_op_determinism()
    yield
    # TensorFlow has no public way back.
    with contextlib.suppress(AttributeError):
        config.disable_op_determinism()


def load_golden(name):
    """Reads one golden file.

    Returns:
        Namespace of `arrays` (dict "case/field" -> array), `cases` (dict case -> settings) and
        `get(case, field)`.
    """
    with np.load(GOLDEN / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if key != "meta_json"}
        cases = json.loads(str(archive["meta_json"]))["cases"]
    return types.SimpleNamespace(
        arrays=arrays, cases=cases, get=lambda case, field: arrays[f"{case}/{field}"]
    )


@pytest.fixture(scope="session")
def golden():
    """Loader of golden files: `golden("kcenter").get("cub_like", "pool")`."""
    return load_golden
