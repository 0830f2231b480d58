"""The regimes of the study in small: pre-training, then a head on features, then fine-tuning."""

import json
import pathlib

import gin
import matplotlib
import numpy as np
import pytest
from absl import flags

from ccpdml import config, data, serving, training
from ccpdml.data import features as feature_reader
from ccpdml.serving import features
from tests import programs

pytestmark = pytest.mark.usefixtures("without_figures")
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
    network = features.without_head(encoder)
    parts = {"train": splits.train, "test": splits.test}
    features.store(tmp_path / "features", network, parts, shard_size=40, progress=False)
    # What the frozen network ends in, worked out without the encoder's head.
    by_hand = encoder.model.layers[1](encoder.preprocess(splits.train.images)).numpy()
    source = feature_reader.read(tmp_path / "features")
    np.testing.assert_allclose(
        source.development.images[:], by_hand.mean((1, 2)), rtol=1e-5, atol=1e-6
    )
    small = [b for b in SMALL if "data.load" not in b or "folds" in b] + CCP
    root = [f"data.load.root = '{tmp_path / 'features'}'", "feature_head.hidden_units = (8,)"]
    results, history = run("features_ms", [*small, *root], tmp_path / "run")
    assert [row["problem_instance"] for row in history] == [0, 0, 1, 1]
    assert 0 < results["test"]["map_at_r"] <= 1
    with pytest.raises(ValueError, match="takes stored features"):
        serving.load_encoder(tmp_path / "run")
    whole = features.with_head(tmp_path / "features", tmp_path / "run")
    found = whole(splits.test.images)
    with np.load(tmp_path / "run" / "test_embeddings.npz") as stored:
        np.testing.assert_allclose(found, stored["query"], rtol=1e-4, atol=1e-5)
    serving.export(whole, tmp_path / "whole", ["keras", "saved_model"])
    again = serving.load_encoder(tmp_path / "whole")
    np.testing.assert_allclose(again(splits.test.images), found, rtol=1e-5, atol=1e-6)


def test_a_trained_network_goes_on_in_another_domain(pretrained, tmp_path):
    bindings = [*SMALL, *CCP, "data.load.first_class = 16"]
    bindings.append(f"trained_network.path = '{pretrained}'")
    results, history = run("characters_fine_tune_ms", bindings, tmp_path / "run")
    assert [row["problem_instance"] for row in history] == [0, 0, 1, 1]
    assert results["split"]["layout"] == "shifted greek"


@pytest.fixture
def study(tmp_path):
    with programs.imported("study.py") as program:
        flags.FLAGS(
            [
                "study.py",
                "--losses=ms",
                "--methods=pairs,ccp,ccp_period_4,proxy_nca",
                "--seeds=0,1",
                "--regime=fine_tune",
                f"--out={tmp_path}",
            ]
        )
        yield program


def finished(study, loss, method, setting, seed, test, validation):
    """Leaves what a finished run leaves; re-initialized proxies, if it is CCP."""
    place = study["Key"](loss, method, setting, seed).place
    (place / "logs").mkdir(parents=True)
    results = {"test": {"map_at_r": test}, "validation": {"map_at_r": validation}}
    (place / "results.json").write_text(json.dumps(results))
    rows = [{"step": step, "val_map_at_r": validation} for step in (100, 200)]
    if method.startswith("ccp"):
        rows[1] |= {"covering_radius_before": 0.5, "covering_radius_after": 0.3}
    (place / "logs" / "history.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))


def test_differences_are_told_with_their_intervals(study):
    # Mean 2, standard error 1/sqrt(3), t(.975, 2) = 4.3027: 2 -+ 2.484.
    assert study["study_tables"].difference([1.0, 2.0, 3.0]) == "+2.0 (-0.5 to +4.5)"
    assert study["study_tables"].difference([2.0, 2.1, 2.2]) == "**+2.1 (+1.9 to +2.3)**"


def test_settings_are_chosen_on_a_draw_of_their_own_and_methods_compared_draw_by_draw(
    study, tmp_path, capsys
):
    tuning = {
        ("ms", "pairs"): {"rate=1e-3": 0.5, "rate=3e-3": 0.4},
        ("ms", "ccp"): {
            "rate=1e-3,pair_weight=0.1": 0.4,
            "rate=3e-3,pair_weight=0.1": 0.3,
            "rate=1e-3,pair_weight=1.0": 0.45,
            "rate=3e-3,pair_weight=1.0": 0.7,
        },
        ("", "proxy_nca"): {
            "rate=1e-3": 0.4,
            "rate=3e-3": 0.3,
            "rate=1e-3,proxy_rate=10": 0.45,
            "rate=3e-3,proxy_rate=10": 0.4,
        },
    }
    for (loss, method), settings in tuning.items():
        for setting, validation in settings.items():
            finished(study, loss, method, setting, "5", 0.99, validation)
    for seed in (0, 1):
        gain = 0.1 * seed
        finished(study, "ms", "pairs", "rate=1e-3", str(seed), 0.4 + gain, 0.1)
        finished(study, "", "proxy_nca", "rate=1e-3,proxy_rate=10", str(seed), 0.45, 0.1)
        for method, test in (("ccp", 0.5), ("ccp_period_4", 0.3)):
            setting = "rate=3e-3,pair_weight=1.0"
            finished(study, "ms", method, setting, str(seed), test + gain, 0.1)
    finished(study, "", "pretrain", "", "", 0.0, 0.0)
    (tmp_path / "fine_tune" / "pretrain").rename(tmp_path / "pretrain")
    study["main"](None)
    table = (tmp_path / "fine_tune" / "table.md").read_text()
    assert table == capsys.readouterr().out
    assert (
        "| ms | ccp | rate=3e-3,pair_weight=1.0 | 55.0 ± 7.1 | +10.0 |  | +20.0 | "
        "+10.0 (-53.5 to +73.5) |" in table
    )
    assert "| its own | proxy_nca | rate=1e-3,proxy_rate=10 | 45.0 ± 0.0 |  |  |  |  |" in table
    drawn = {path.name for path in (tmp_path / "fine_tune").glob("*.png")}
    assert drawn == {"validation.png", "covering_radius.png", "gains.png"}


def test_every_method_of_the_study_binds_what_exists(study):
    for method in study["METHODS"].values():
        gin.clear_config()
        *_, bindings = method.settings(study["RATES"]["fine_tune"]).values()
        loss = [] if method.has_loss else ["losses/ms"]
        files = [*study["REGIMES"]["fine_tune"], *loss, *method.files("fine_tune")]
        config.load([ROOT / "gin" / f"{file}.gin" for file in files], bindings)
