"""Every run file of the benchmarks takes a step: on tiny images, with the small backbone."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import config, training
from ccpdml.training import strategies

GIN = Path(__file__).parent.parent / "gin"
RUNS = sorted(path for name in ("cub", "cars", "sop", "inshop") for path in GIN.glob(f"{name}_*"))
# One file of every method; those of the other data sets differ in numbers only.
METHODS = [path for path in RUNS if path.stem.startswith("cub_")]

TINY = [
    "data.load.name = 'folder'",
    "RandomResizedCrop.size = 16",
    "CenterCrop.size = 16",
    "CenterCrop.short_side = 16",
    "small_cnn.filters = (4, 4)",
    "build_encoder.embedding_size = 8",
    "train.evaluate_every = 2",
    "train.steps = 2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """44 classes to develop on, so that 33 of them train, and 2 to test: 4 images each."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, num_classes in (("train", 44), ("test", 2)):
        for label in range(num_classes):
            of_class = root / part / f"{part}_{label}"
            of_class.mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(of_class / f"{index}.png")
    return root


def steps_of(path, folder, run_dir):
    """Builds the run of a gin file and takes its two steps; returns learner and loss."""
    bindings = [*TINY, f"data.load.root = '{folder}'"]
    config.load([path, GIN / "backbones" / "small.gin"], bindings)
    experiment = training.Experiment(run_dir)
    learner, callbacks = experiment.build()
    outer = [c for c in callbacks if isinstance(c, training.ProxyReinitialization)]
    for callback in outer:
        callback.set_model(learner)
        callback.on_train_begin()
    history = learner.fit(experiment.batches(0), steps_per_epoch=2, verbose=0)
    return learner, history.history["loss"][-1]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_run_file_takes_steps(path, folder, tmp_path):
    tf.config.run_functions_eagerly(True)  # Tracing every method would take minutes.
    try:
        _, loss = steps_of(path, folder, tmp_path)
    finally:
        tf.config.run_functions_eagerly(False)
    assert np.isfinite(loss)


@pytest.mark.slow
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_takes_steps_on_two_replicas(path, folder, tmp_path, two_replicas, monkeypatch):
    monkeypatch.setattr(strategies, "by_name", lambda name: two_replicas)
    learner, loss = steps_of(path, folder, tmp_path)
    assert np.isfinite(loss)
    for weight in learner.criterion.weights:
        variable = weight if isinstance(weight, tf.Variable) else weight.value
        first, second = two_replicas.experimental_local_results(variable)
        np.testing.assert_array_equal(first, second)


def test_methods_of_the_paper_are_all_there():
    stems = {path.stem for path in RUNS}
    methods = [f"{loss}{kind}" for loss in ("c1", "c2", "ms", "triplet") for kind in ("", "_base")]
    methods += ["c1_xbm", "c2_xbm", "proxy_anchor", "proxy_nca", "soft_triple", "hpl_pa"]
    for dataset in ("cub", "cars", "sop", "inshop"):
        assert {f"{dataset}_{method}" for method in methods} <= stems


@pytest.mark.parametrize("path", sorted((GIN / "backbones").glob("*.gin")), ids=lambda p: p.stem)
@pytest.mark.parametrize("run", ["cub_ms", "inshop_c2_xbm", "sop_proxy_anchor"])
def test_any_backbone_can_follow_a_run_file(run, path):
    config.load([GIN / f"{run}.gin", path])
