"""Whole runs, from gin file to run directory, and what is refused before they start."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gin
import numpy as np
import pytest
from PIL import Image

from ccpdml import config, data, training
from ccpdml.training import claims, terminal
from tests import programs
from tests.training import tensorboard_test

ROOT = Path(__file__).parents[2]
SHORT = ["train.steps = 60", "train.evaluate_every = 20", "ProxyReinitialization.patience = 1"]


def experiment(run_dir, file="digits_ms", bindings=SHORT):
    config.load([ROOT / "gin" / f"{file}.gin"], bindings)
    return training.Experiment(run_dir)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished run; no test may write there."""
    run_dir = tmp_path_factory.mktemp("finished")
    gin.clear_config()
    experiment(run_dir).run()
    gin.clear_config()
    return run_dir


@pytest.mark.smoke
def test_a_run_leaves_a_directory_that_describes_itself(finished):
    run = experiment(finished)
    results = training.results.read(finished)
    assert 0.3 < results["test"]["map_at_r"] <= 1.0
    assert results["split"]["name"] == "digits"
    assert results["split"]["data"] == json.loads((finished / "data.json").read_text())
    assert results["versions"]["ccpdml"]
    assert len(training.history.read_history(finished / "logs" / "history.jsonl")) == 3
    names = ("config.gin", "operative_config.gin", "checkpoints/checkpoint")
    for name in (*names, "encoder.keras", "encoder.json"):
        assert (finished / name).stat().st_size > 0
    folder = finished / "logs" / "tensorboard"
    scalars = tensorboard_test.read(folder)
    assert [step for step, _ in scalars["validation/map_at_r"]] == [20, 40, 60]
    ((step, score),) = tensorboard_test.read(folder / "results")["test/map_at_r"]
    assert (step, score) == (results["best_step"], pytest.approx(results["test"]["map_at_r"]))
    ((_, before),) = tensorboard_test.read(folder / "results")["test/untrained_map_at_r"]
    assert before == pytest.approx(results["untrained"]["test"]["map_at_r"])
    (_, gain), *_ = tensorboard_test.read(folder / "results")["test/gain_map_at_r"]
    assert gain == pytest.approx(score - before)
    assert len(scalars["validation/gain_map_at_r"]) == 3
    assert len((folder / "metadata.tsv").read_text().splitlines()) == 1 + len(run.splits.test)
    figures = {path.stem for path in (finished / "figures").glob("*.png")}
    assert figures == {
        *("learning_curve", "covering_radius", "embeddings", "retrieval"),
        *("best_queries", "worst_queries", "proxy_births"),
    }


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("file", ["digits_triplet_base", "digits_c2_proxies"])
def test_baselines_run(tmp_path, file):
    bindings = [b for b in SHORT if "Proxy" not in b]
    results = experiment(tmp_path, file, [*bindings, "train.tensorboard = False"]).run()
    assert results["steps"] == 60
    assert not (tmp_path / "logs" / "tensorboard").exists()


@pytest.mark.usefixtures("without_figures")
def test_selection_on_test_classes_is_asked_for_by_name_and_stamped(tmp_path):
    files = [ROOT / "gin" / "digits_ms.gin", ROOT / "gin" / "protocols" / "conventional.gin"]
    config.load(files, SHORT)
    run = training.Experiment(tmp_path)
    assert "selection   on test classes" in run.plan()
    results = run.run()
    assert results["selected_on"] == "test classes"
    assert results["split"]["counts"]["train"]["classes"] == 6
    assert "validation" not in results
    best = max(training.history.read_history(tmp_path / "logs" / "history.jsonl"), key=by_score)
    assert by_score(best) == pytest.approx(results["test"]["map_at_r"], abs=1e-6)


def by_score(row):
    return row["val_map_at_r"]


def test_the_saved_encoder_needs_tensorflow_only(finished, tmp_path):
    run = experiment(finished)
    learner, _ = run.build()
    images = run.splits.test.images[:5]
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "encoder = tf.keras.models.load_model(sys.argv[1])\n"
        "assert 'ccpdml' not in sys.modules\n"
        "np.save(sys.argv[3], encoder(np.load(sys.argv[2])))\n"
    )
    arguments = [finished / "encoder.keras", tmp_path / "in.npy", tmp_path / "out.npy"]
    np.save(arguments[1], np.asarray(learner.preprocess(images)))
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, cwd=tmp_path)
    with np.load(finished / "test_embeddings.npz") as scored:  # Normalized, by the criterion.
        np.testing.assert_allclose(np.load(arguments[2]), scored["query"][:5], atol=1e-5)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_shown_again_and_only_read(finished):
    before = contents(finished)
    again = experiment(finished)
    assert again.is_finished
    first = again.run()
    assert first == json.loads((finished / "results.json").read_text())
    assert contents(finished) == before
    assert "its results are shown" in "\n".join(again.plan())
    lines = "\n".join(terminal.closing(again, first))
    assert f"{100 * first['test']['map_at_r']:.1f}" in lines
    assert "validation classes chose the weights" in lines


def test_other_data_are_refused_before_training_and_after(tmp_path):
    run = experiment(tmp_path, bindings=[*SHORT, "train.tensorboard = False"])
    labels = run.splits.train.labels.copy()
    labels[0] = labels[-1]
    changed = dataclasses.replace(run.splits.train, labels=labels)
    other = training.Experiment(tmp_path)
    other.data = data.identity.describe({"train": changed})
    claims.make(tmp_path, tmp_path, run.data)
    before = contents(tmp_path)
    for _ in ("begun", "finished"):
        with pytest.raises(config.ConfigError, match="other data"):
            other.run()
        (tmp_path / "results.json").write_text("{}")
    (tmp_path / "results.json").unlink()
    (tmp_path / "run.lock").unlink()
    assert contents(tmp_path) == before


def test_the_encoder_is_there_before_anything_can_fail_and_is_scored_again(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("no figures today")

    with monkeypatch.context() as patch:
        patch.setattr(training.pictures, "draw", fail)
        with pytest.raises(OSError, match="no figures"):
            experiment(tmp_path).run()
    encoder = (tmp_path / "encoder.keras").read_bytes()
    assert (tmp_path / "encoder.json").exists()
    assert not (tmp_path / "results.json").exists()
    rows = (tmp_path / "logs" / "history.jsonl").read_bytes()
    checkpoints = contents(tmp_path / "checkpoints")
    with monkeypatch.context() as patch:  # Killed while the encoder is written again.
        patch.setattr(training.results.description, "write", fail)
        with pytest.raises(OSError, match="no figures"):
            training.Experiment(tmp_path).run()
    assert (tmp_path / "encoder.keras").read_bytes() == encoder
    shutil.move(tmp_path / "checkpoints", tmp_path / "aside")
    with pytest.raises(config.ConfigError, match="trained anew"):
        training.Experiment(tmp_path).run()
    shutil.move(tmp_path / "aside", tmp_path / "checkpoints")
    assert training.Experiment(tmp_path).run()["steps"] == 60
    assert contents(tmp_path / "checkpoints") == checkpoints  # Scored, not trained.
    assert (tmp_path / "logs" / "history.jsonl").read_bytes() == rows
    assert not list(tmp_path.rglob("*.ccpdml-new"))


def test_plan_names_classes_batch_and_pool(tmp_path):
    text = "\n".join(experiment(tmp_path).plan())
    for expected in ("4 classes", "4 classes x 8 images", "8 images x 4 classes = 32"):
        assert expected in text
    assert "a new run" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("train.classes_per_batch = 5", "classes_per_batch"),
        ("train.samples_per_class = 100000", "samples_per_class"),
        ("ChanceConstrainedLoss.proxies_per_class = 0", "proxies_per_class"),
        ("PoolDraw.pool_size = 2", "at least the proxies"),
        ("train.steps = 0", "train.steps"),
        ("train.steps_per_loop = 7", "steps_per_loop"),
        ("train.strategy = 'many'", "strategy"),
        ("data.load.fold = 9", "fold"),
        ("data.load.name = 'mnist'", "mnist"),
        ("data.load.num_folds = 1", "conventional.gin"),
        ("train.select_on = 'test'", "conventional.gin"),
        ("train.select_on = 'train'", "select_on"),
        ("build_encoder.pooling = 'sum'", "pooling|kind"),
        ("MetricLearner.prox_weight = -1.0", "prox_weight"),
        ("ProxyReinitialization.patience = 0", "patience"),
        ("ProxyReinitialization.patience = None", "never end"),
        ("Placing.proxies_only_steps = -1", "proxies_only_steps"),
        ("train.pool = None\nPoolDraw.pool_size = 3", "PoolDraw"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_training(tmp_path, binding, message):
    with pytest.raises(ValueError, match=message):
        experiment(tmp_path, bindings=[*SHORT, *binding.split("\n")]).run()
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / config.FILE_NAME).exists()  # The corrected run may have the directory.


def test_what_is_bound_and_given_by_the_run_itself_is_refused(tmp_path):
    lost = {"PoolDraw.seed": 3, "ClassBalancedSampler.samples_per_class": 2}
    lost |= {"Checkpoint.directory": "elsewhere", "build_encoder.input_shape": (8, 8, 1)}
    bindings = [f"{name} = {value!r}" for name, value in lost.items()]
    with pytest.raises(config.ConfigError, match="Bound, but given by the run itself: ") as caught:
        experiment(tmp_path, bindings=[*SHORT, *bindings, "PoolDraw.batch_size = 9"]).run()
    message, _, cure = str(caught.value).partition(". Remove the binding")
    assert set(message.partition(": ")[2].split(", ")) == set(lost)
    assert cure == "; train.samples_per_class can be bound; train.seed can be bound."


def test_two_callbacks_of_one_class_have_names(tmp_path):
    bindings = ["by_loss/EarlyStopping.monitor = 'loss'", "by_loss/EarlyStopping.mode = 'min'"]
    named = "train.callbacks = {'by_loss': @by_loss/EarlyStopping}"
    _, outer = experiment(tmp_path, bindings=[*SHORT, named, *bindings]).build()
    monitored = [outer[name].monitor.name for name in ("EarlyStopping", "by_loss")]
    assert monitored == ["val_map_at_r", "loss"]
    gin.clear_config()
    unnamed = "train.callbacks = (@by_loss/EarlyStopping,)"
    with pytest.raises(ValueError, match=r"train.callbacks = \{'my_name': @EarlyStopping, ...\}"):
        experiment(tmp_path, bindings=[*SHORT, unnamed, *bindings]).build()


@pytest.mark.parametrize("binding", ["classes_per_batch = 1", "samples_per_class = 1"])
def test_a_batch_without_pairs_is_refused_for_a_loss_on_pairs(tmp_path, binding):
    baseline = experiment(tmp_path, "digits_c2_base", [f"train.{binding}"])
    with pytest.raises(ValueError, match="BatchPairs compares images .* must be at least 2"):
        baseline.build()


def test_a_missing_binding_is_named(tmp_path):
    path = tmp_path / "few.gin"
    path.write_text("train.steps = 5\n")
    with pytest.raises(config.ConfigError, match=r"train.data, .*train.evaluate_every"):
        config.load([path])


def test_another_configuration_cannot_take_over_a_run_directory(tmp_path):

    run = experiment(tmp_path)
    claims.make(tmp_path, tmp_path, run.data)
    gin.clear_config()
    other = experiment(tmp_path, bindings=[*SHORT, "train.seed = 1"])
    with pytest.raises(config.ConfigError, match="another configuration"):
        other.run()


@pytest.mark.usefixtures("without_figures")
def test_a_run_that_stops_at_a_truncated_file_names_it_and_goes_on_without(tmp_path):
    rng = np.random.default_rng(0)
    for part, label in [*(("train", label) for label in range(4)), ("test", 0), ("test", 1)]:
        folder = tmp_path / "images" / part / f"{part}_{label}"
        folder.mkdir(parents=True)
        for index in range(4):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.jpg")
    broken = tmp_path / "images" / "test" / "test_0" / "2.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    bindings = [
        *("data.load.name = 'folder'", f"data.load.root = '{tmp_path / 'images'}'"),
        *("train.classes_per_batch = 2", "train.samples_per_class = 4"),
        *("train.steps = 4", "train.evaluate_every = 4", "train.tensorboard = False"),
        *("PoolDraw.pool_size = 4", "ChanceConstrainedLoss.proxies_per_class = 2"),
        *("train.training_view = @CenterCrop", "train.evaluation_view = @CenterCrop"),
        *("CenterCrop.size = 16", "CenterCrop.short_side = 16"),
    ]
    run_dir = tmp_path / "run"
    bindings.append("train.evaluate_untrained = False")  # Else it is named before training.
    with pytest.raises(data.pipelines.UnreadableFileError) as caught:
        experiment(run_dir, bindings=bindings).run()
    assert str(caught.value).startswith(f"{broken} cannot be read: ")
    assert "\n" not in str(caught.value)
    checkpoints = contents(run_dir / "checkpoints")
    assert (run_dir / "encoder.keras").exists()
    gin.clear_config()
    results = experiment(run_dir, bindings=[*bindings, "data.load.skip_corrupt = True"]).run()
    assert results["split"]["skipped"] == {"train": 0, "validation": 0, "test": 1}
    assert contents(run_dir / "checkpoints") == checkpoints  # Scored, not trained again.


def command(*arguments, program="run"):
    return subprocess.run(
        [sys.executable, str(ROOT / "experiments" / f"{program}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={name: v for name, v in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
    )


def test_the_command_reports_a_mistake_in_one_line_and_fails():
    done = command("--gin_file=gin/digits_ms.gin", "--gin_bindings=train.stesp = 5")
    assert done.returncode == 1
    assert "ERROR" in done.stderr
    assert "stesp" in done.stderr
    assert done.stderr.startswith("ERROR")  # Nothing of TensorFlow's before it.
    assert "Traceback" not in done.stderr


def test_dry_run_prints_the_plan(tmp_path):
    arguments = ["--gin_file=gin/digits_ms.gin", "--dry_run", f"--run_dir={tmp_path}/run"]
    code, printed = programs.run_in(ROOT, "run.py", *arguments)
    assert code is None
    assert "4 classes x 8 images" in printed
    assert not (tmp_path / "run").exists()


def test_other_programs_and_what_they_start_are_as_quiet(tmp_path):
    done = command(
        *("--gin_file=gin/digits_ms.gin", "--gin_bindings=train.classes_per_batch = 3"),
        *("--folds=2", "--dry_run", f"--run_dir={tmp_path}/folds"),
        program="cross_validate",
    )
    assert done.returncode == 0, done.stderr
    assert "3 classes x 8 images" in done.stdout
    assert done.stderr == ""


def test_every_program_starts_tensorflow_in_the_one_quiet_way():
    starts = re.compile(r"^ +(from ccpdml|import tensorflow)", re.MULTILINE)
    for path in (ROOT / "experiments").glob("*.py"):
        source = path.read_text()
        if path.name != "quiet.py" and "app.run(main)" in source and starts.search(source):
            assert "quiet.import_tensorflow()" in source, path.name


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(config.ConfigError, match=r"file must be a folder.*--run_dir"):
        experiment(tmp_path / "file").run()


def test_a_terminal_is_told_whole_words(monkeypatch, capsys):
    lines = ["data       " + "seven classes " * 9, "The end " * 20, "  python " + "x" * 90]
    terminal.tell(lines)
    assert capsys.readouterr().out == "\n".join(lines) + "\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    terminal.tell(lines)
    *told, command = capsys.readouterr().out.splitlines()
    assert command == lines[-1]
    assert all(len(line) <= 80 for line in told)
    assert told[1].startswith(" " * 11 + "classes ") or told[1].startswith(" " * 11 + "seven ")


@pytest.mark.parametrize("content", ["", "[]", '{"steps": 5}'])
def test_results_that_cannot_be_read_are_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json: expected .* Remove the file") as caught:
        training.results.read(tmp_path)
    assert "\n" not in str(caught.value)
