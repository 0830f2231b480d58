"""Every run file of the benchmarks takes a step: on tiny images, with the small backbone."""

import inspect
from pathlib import Path

import gin
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import config, losses, training
from ccpdml.cluster import strategies

GIN = Path(__file__).parent.parent / "gin"
pytestmark = pytest.mark.usefixtures("views_by_pillow")
RUNS = sorted(path for name in ("cub", "cars", "sop", "inshop") for path in GIN.glob(f"{name}_*"))
TINY = [
    "data.load.name = 'folder'",
    "RandomResizedCrop.size = 16",
    "CenterCrop.size = 16",
    "CenterCrop.short_side = 16",
    "small_cnn.filters = (4,)",
    "build_encoder.embedding_size = 8",
    "train.evaluate_every = 2",
    "train.steps = 2",
]


def bound(files, *names):
    """What gin files bind to some names."""
    gin.clear_config()
    config.load([GIN / file for file in files])
    return [gin.query_parameter(name) for name in names]


def one_of_each_criterion():
    """A file of each; `training/replicas_test.py` has every pair loss and miner on two replicas.

    Those of the other data sets differ in numbers only.
    """
    paths = [path for path in reversed(RUNS) if path.stem.startswith("cub_")]
    found = {str(*bound([path], "train.criterion")): path for path in paths}
    gin.clear_config()
    return sorted(found.values())


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
@pytest.mark.parametrize("path", one_of_each_criterion(), ids=lambda path: path.stem)
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


CCP = [path for path in RUNS if path.stem.split("_", 1)[1] in ("c1", "c2", "ms", "triplet")]
# Names, the original program's value, ours.
DIFFERENCES = {
    "PoolDraw.augmented": (True, False),
    "Placing.normalized": (False, True),
    "Placing.restart_optimizer": (False, True),
    "Placing.jitter": (0.0, 0.05),
    "ProxyReinitialization.count_early_scores": (False, True),
    "MetricLearner.decay_proxies": (True, False),
}


@pytest.mark.parametrize("path", CCP, ids=lambda path: path.stem)
def test_rows_of_the_paper_are_the_papers_and_the_revised_ones_a_file_of_their_own(path):
    original, ours = map(list, zip(*DIFFERENCES.values(), strict=True))
    assert bound([path], *DIFFERENCES) == original
    assert bound([path, "methods/ccp_revised.gin"], *DIFFERENCES) == ours


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_optimizer_and_end_of_a_row_are_the_papers(path):
    names = ("tf.keras.optimizers.Adam.beta_2", "EarlyStopping.min_delta", "EarlyStopping.patience")
    assert bound([path], *names) == [0.99, 1e-5, 60]


def test_what_differs_is_what_the_classes_do_by_default():
    for name, (_, ours) in DIFFERENCES.items():
        class_name, argument = name.split(".")
        parameters = inspect.signature(getattr(training, class_name).__init__).parameters
        assert parameters[argument].default == ours


@pytest.mark.parametrize(("name", "centers"), [("cub", 8), ("cars", 8), ("sop", 1), ("inshop", 1)])
def test_soft_triple_has_the_centers_of_its_row(name, centers):
    assert bound([f"{name}_soft_triple.gin"], "SoftTripleLoss.proxies_per_class") == [centers]


def test_soft_triple_with_one_center_has_no_centers_to_hold_together():
    tf.keras.utils.set_random_seed(0)
    points, labels = tf.random.normal((6, 4)), tf.constant([0, 0, 1, 1, 2, 2])
    one, without = (losses.SoftTripleLoss(3, 1, tau=tau) for tau in (0.2, 0.0))
    one.build((None, 4))
    without.build((None, 4))
    without.set_weights(one.get_weights())
    assert np.isfinite(one(points, labels))
    np.testing.assert_allclose(one(points, labels), without(points, labels))
