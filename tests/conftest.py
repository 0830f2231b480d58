"""Two logical CPUs for every test, quiet TensorFlow, and nothing left over from the test before."""

import contextlib
import functools
import gc
import json
import os
import pathlib
import random
import re

# Before TensorFlow is imported. CUDA_VISIBLE_DEVICES=0 runs the suite on a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import gin
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.eager import context

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_configure():
    """Splits the CPU in two logical devices, so that two replicas can be compared with one."""
    context.Context._set_global_seed = _seed
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # The workers share the cores; each with a pool of all of them, they would fight.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)


def _seed(eager, seed, by_tensorflow=context.Context._set_global_seed):
    """Seeds TensorFlow's generator, for all tests.

    TensorFlow then drops what it has made to run functions, since there may be random ops among
    them, and takes up to half a second for each function to make that again. Here it does so only
    if an op has drawn since the seed was set last; else there is nothing that has to begin anew.
    """
    if eager._seed is None or eager._rng.getstate() != random.Random(eager._seed).getstate():
        by_tensorflow(eager, seed)
    else:
        eager._seed, eager._rng = seed, random.Random(seed)


def pytest_collection_modifyitems(items):
    """Deals whole files to the workers, to each those with slow tests first.

    So no worker is left alone with a long test at the end, and what the tests of a file share is
    made once; `--dist=worksteal` cuts the list in equal parts, in its order.
    """
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    slow = {path: any(map(_is_slow, tests)) for path, tests in files.items()}
    paths = sorted(files, key=lambda path: not slow[path])
    num_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    dealt = [path for worker in range(num_workers) for path in paths[worker::num_workers]]
    items[:] = [item for path in dealt for item in files[path]]


def pytest_collection_finish():
    """Spares the garbage collector all that is imported: it would look through it every time."""
    gc.collect()
    gc.freeze()


def _is_slow(item):
    return item.get_closest_marker("slow") is not None


@pytest.fixture(autouse=True)
def fresh_state():
    """Seeds every generator before a test; clears gin and the dtype policy after it."""
    tf.keras.utils.set_random_seed(0)
    yield
    gin.clear_config()
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="session")
def two_replicas():
    """`MirroredStrategy` over the two logical CPUs; one for all tests.

    A second one in the same process would share collective keys with the first (TensorFlow gives
    each strategy the next group key, and a strategy uses more than one).
    """
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


@pytest.fixture(scope="session")
def draw_characters():
    """The characters of `glyphs`, drawn at the first call."""
    from ccpdml.data import glyphs  # after the logical CPUs are made

    return functools.cache(glyphs.read)


@pytest.fixture
def characters_drawn_once(draw_characters, monkeypatch):
    """Has `data.load` take those, which is quicker than to draw them again."""
    from ccpdml.data import loading

    monkeypatch.setitem(loading.READERS, "glyphs", lambda root: draw_characters())


@pytest.fixture
def without_figures(monkeypatch):
    """Has runs draw none, which takes longer than to train for a few steps."""
    from ccpdml.runs import pictures

    monkeypatch.setattr(pictures, "draw", lambda finished, run_dir: None)


@pytest.fixture
def views_by_pillow(monkeypatch):
    """Has pipelines give files as Pillow resizes them, in place of their views.

    To trace a pipeline that decodes takes longer than a run of a few steps.
    """
    from ccpdml.data import pipelines

    def views(image_set, view, draw, num_images, batch_size):
        draws = [draw(number)[0] for number in range(-(-num_images // batch_size))]
        indices = np.concatenate(draws).astype(np.int64)
        size = (view.width, view.height)
        pixels = [_read(image_set.images[index], size) for index in indices]
        batches = tf.data.Dataset.from_tensor_slices((indices, pixels))
        return batches.batch(batch_size, drop_remainder=num_images % batch_size == 0)

    monkeypatch.setattr(pipelines, "_views", views)


def _read(path, size):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size))


@pytest.fixture
def own_registrations(monkeypatch):
    """Forgets after the test which views and preprocessing it registered."""
    from ccpdml.serving import registered

    for name in ("_VIEWS", "_PREPROCESSING"):
        monkeypatch.setattr(registered, name, dict(getattr(registered, name)))


class GoldenCase:
    """One case of a golden file: `case["value_f64"]`, its `settings`, and its `inputs`."""

    def __init__(self, arrays, name, settings):
        self.arrays, self.name, self.settings = arrays, name, settings

    def __getitem__(self, field):
        return self.arrays[f"{self.name}/{field}"]

    def inputs(self, field):
        """An input that several cases share."""
        return self.arrays[f"inputs/{self.settings['inputs']}/{field}"]

    def target(self, field, prefix="all"):
        """The result to compare `field` with: the reference's, or the exact one if that is off."""
        return self[field + self.settings["compare_with"][prefix]]


@functools.cache
def load_golden(name):
    """Reads one golden file (tests/golden/README.md).

    Returns:
        Tuple (arrays by "case/field", settings by case).
    """
    with np.load(GOLDEN / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if key != "meta_json"}
        cases = json.loads(str(archive["meta_json"]))["cases"]
    return arrays, cases


@pytest.fixture(scope="session")
def golden():
    """Loader of golden files: `arrays, cases = golden("kcenter")`."""
    return load_golden


def pytest_generate_tests(metafunc):
    """Gives a test marked `golden(name, skip={pattern: reason})` every case of that file.

    `only` is a pattern of the cases to take, `skip` of those that are reported as skipped.
    """
    marker = metafunc.definition.get_closest_marker("golden")
    if marker is None:
        return
    arrays, cases = load_golden(*marker.args)
    only, skip = marker.kwargs.get("only", ""), marker.kwargs.get("skip", {})
    params = []
    for name, settings in cases.items():
        if name.startswith("inputs") or not re.search(only, name):
            continue
        reasons = [reason for pattern, reason in skip.items() if re.search(pattern, name)]
        marks = [pytest.mark.skip(reason=reason) for reason in reasons[:1]]
        params.append(pytest.param(GoldenCase(arrays, name, settings), id=name, marks=marks))
    metafunc.parametrize("case", params)
