"""The regimes of the study in small: pre-training, then a head on features, then fine-tuning."""

import pathlib

import gin
import matplotlib
import numpy as np
import pytest
from absl import flags

from ccpdml import config, data, serving, training
from ccpdml.serving import features
from tests import programs

ROOT = pathlib.Path(__file__).parent.parent
TYPEFACES = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SMALL = [
    "data.load.script = 'greek'",
    f"data.load.typefaces = '{TYPEFACES}'",
    "data.load.images_per_class = 6",
    "data.load.num_classes = 16",
    "data.load.num_folds = 2",
    "train.steps = 8",
    "train.evaluate_every = 2",
    "train.classes_per_batch = 3",
    "train.samples_per_class = 3",
    "train.tensorboard = False",
]
CCP = ["ProxyReinitialization.period = 2", "PoolDraw.pool_size = 8"]


def run(name, bindings, run_dir):
    """The results and the history of a small run of a file in `gin/`."""
    gin.clear_config()
    config.load([ROOT / "gin" / f"{name}.gin"], bindings)
    results = training.Experiment(run_dir).run()
    return results, training.history.read_history(run_dir / "logs" / "history.jsonl")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The directory of a small network that is trained; no test may write there."""
    run_dir = tmp_path_factory.mktemp("pretrained")
    run(
        "characters_pretrain",
        [*SMALL, "PoolDraw.pool_size = 8", "small_cnn.filters = (4, 8)"],
        run_dir,
    )
    return run_dir


def test_a_head_on_stored_features_is_trained_with_instances_of_a_period(pretrained, tmp_path):
    splits = data.load(
        "characters",
        script="greek",
        typefaces=str(TYPEFACES),
        num_classes=16,
        images_per_class=6,
        first_class=16,
        domain="noisy",
        num_folds=1,
    )
    encoder = serving.load_encoder(pretrained)
    features.write(tmp_path / "features.npz", encoder, splits.train, splits.test)
    with np.load(tmp_path / "features.npz") as stored:
        assert stored["features"].shape == (96, 8)
        # What the frozen network ends in, worked out without the encoder's head.
        by_hand = encoder.model.layers[1](encoder.preprocess(splits.train.images)).numpy()
    np.testing.assert_allclose(
        features.pooled_features(encoder, splits.train), by_hand.mean((1, 2)), rtol=1e-5, atol=1e-6
    )
    small = [b for b in SMALL if "data.load" not in b or "folds" in b] + CCP
    root = [f"data.load.root = '{tmp_path}'", "feature_head.hidden_units = (8,)"]
    results, history = run("features_ms", [*small, *root], tmp_path / "run")
    assert [row["problem_instance"] for row in history] == [0, 0, 1, 1]
    assert 0 < results["test"]["map_at_r"] <= 1
    with pytest.raises(ValueError, match="takes stored features"):
        serving.load_encoder(tmp_path / "run")


def test_a_trained_network_goes_on_in_another_domain(pretrained, tmp_path):
    bindings = [*SMALL, *CCP, "data.load.first_class = 16"]
    bindings.append(f"trained_network.path = '{pretrained}'")
    results, history = run("characters_fine_tune_ms", bindings, tmp_path / "run")
    assert [row["problem_instance"] for row in history] == [0, 0, 1, 1]
    assert results["split"]["layout"] == "shifted greek"


@pytest.fixture
def study():
    with programs.imported("study.py") as program:
        flags.FLAGS(["study.py", "--losses=ms", "--methods=pairs,ccp", "--seeds=0,1"])
        yield program


def test_a_difference_is_told_with_its_interval(study):
    # Mean 2, standard error 1/sqrt(3), t(.975, 2) = 4.3027: 2 -+ 2.484.
    assert study["difference"]([1.0, 2.0, 3.0]) == "+2.0 (-0.5 to +4.5)"
    assert study["difference"]([2.0, 2.1, 2.2]) == "**+2.1 (+1.9 to +2.3)**"


def test_the_setting_is_chosen_on_validation_and_methods_are_compared_seed_by_seed(study):
    scores = {
        ("pairs", ""): (0.4, 0.5),
        ("ccp", ""): (0.5, 0.7),
        ("ccp", "pair_weight_1"): (0.9, 0.6),
    }
    results = {
        ("ms", *key, str(seed)): {
            "test": {"map_at_r": test + 0.1 * seed},
            "validation": {"map_at_r": validation},
        }
        for key, (test, validation) in scores.items()
        for seed in (0, 1)
    }
    percent = {key: 100 * found["test"]["map_at_r"] for key, found in results.items()}
    chosen = study["choose"](results)
    assert chosen == {("ms", "pairs"): "", ("ms", "ccp"): ""}
    row = list(study["table"](percent, chosen))[-1]
    assert row == "| ms | ccp | as shipped | 55.0 ± 7.1 | +10.0 |  |"
