"""The examples and the notebook run as they stand, and what they claim to do has happened."""

import base64
import io
import json
import re
import runpy
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from ccpdml import metrics, serving
from tests import forks

EXAMPLES = Path(__file__).parent.parent / "examples"
NUM_CLASSES = 24  # Of each part of the folder of images.


pytestmark = pytest.mark.usefixtures("characters_drawn_once")


def run(name, *arguments):
    """Runs an example as a program, in this process; returns its variables."""
    before = sys.argv
    sys.argv = [name, *map(str, arguments)]
    try:
        return runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def photos(tmp_path_factory, draw_characters):
    """A folder of characters as files: train/<class>/*.png and test/<class>/*.png."""
    root, drawn = tmp_path_factory.mktemp("photos"), draw_characters()
    for part, images in (("train", drawn.development), ("test", drawn.test)):
        for number in np.flatnonzero(images.labels < NUM_CLASSES):
            folder = root / part / images.class_names[images.labels[number]].replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images.images[number, ..., 0]).save(folder / f"{number}.png")
    return root


def test_every_example_is_run_here():
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        if path.name != "serve.py":  # tests/serving/server_test.py
            assert f'run("{path.name}"' in tested or f'/ "{path.name}"' in tested, path


def test_a_pair_loss_in_stock_fit_makes_unseen_classes_findable():
    found = run("in_batch_loss.py")
    assert found["after"] > found["before"] + 0.1


@pytest.mark.slow
def test_proxies_are_chosen_anew_and_a_stopped_run_ends_as_one_that_was_not(
    tmp_path, op_determinism
):
    whole = run("proxies_in_fit.py", tmp_path / "whole", 11)
    assert whole["proxies"].instance >= 1
    run("proxies_in_fit.py", tmp_path / "parts", 5)
    parts = run("proxies_in_fit.py", tmp_path / "parts", 11)
    assert parts["history"].epoch == list(range(5, 11))
    np.testing.assert_array_equal(parts["embeddings"], whole["embeddings"])


def test_a_folder_of_images_becomes_an_encoder_and_embeddings(photos, tmp_path):
    found = run("own_folder.py", photos, tmp_path)
    validating = found["validating"]
    spread = metrics.geometry.spread(validating.embeddings, validating.labels)
    assert not metrics.collapse.alarms(spread)
    stored = serving.read_embeddings(tmp_path / "embeddings.npz")
    assert len(stored) == len(list(photos.rglob("*.png")))
    is_test = np.char.find(stored.paths, f"{photos}/test/") == 0
    scores = metrics.retrieval(stored.embeddings[is_test], stored.classes[is_test])
    # The file holds what the learner was scored with.
    assert scores["mean_average_precision_at_r"] == pytest.approx(found["scores"]["map_at_r"], 1e-3)
    assert scores["mean_average_precision_at_r"] > 0.3


WITHOUT_FIGURES = f"""
import runpy
from ccpdml.runs import pictures
pictures.draw = lambda finished, run_dir: None  # It takes longer than so short a run.
runpy.run_path({str(EXAMPLES / "search.py")!r}, run_name="__main__")
"""


def lines_of(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.slow  # Two runs, in processes of their own.
def test_a_killed_search_goes_on_with_its_trial_and_ends_as_one_that_was_not(tmp_path):
    optuna = pytest.importorskip("optuna", reason="needs pip install 'ccpdml[search]'")
    (tmp_path / "short.gin").write_text(
        "include 'digits_ms.gin'\ntrain.steps = 16\ntrain.evaluate_every = 2\n"
        "train.evaluate_untrained = False\ntrain.tensorboard = False\n"
    )
    (tmp_path / "program.py").write_text(WITHOUT_FIGURES)
    words = [sys.executable, tmp_path / "program.py", tmp_path / "short.gin", tmp_path / "all", 2]
    history = tmp_path / "all" / "trial_001" / "logs" / "history.jsonl"
    process = forks.Program(words)
    while process.poll() is None and lines_of(history) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    first = tmp_path / "all" / "trial_000" / "results.json"
    finished, begun = first.stat(), history.read_text().splitlines()[0]
    assert not (history.parents[1] / "results.json").exists()
    process = forks.Program(words)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    assert first.stat() == finished
    assert history.read_text().splitlines()[0] == begun
    names = runpy.run_path(str(EXAMPLES / "search.py"), run_name="imported")
    study = names["study_in"](tmp_path / "all")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    fresh = optuna.create_study(direction="maximize")
    for number, trial in enumerate(study.trials):
        fresh.sampler = optuna.samplers.TPESampler(seed=number)
        assert trial.params == fresh.ask(names["SPACE"]).params
        results = json.loads(
            (tmp_path / "all" / f"trial_{number:03d}" / "results.json").read_text()
        )
        assert trial.value == names["objective"](results)
    assert f"trial_{study.best_trial.number:03d}" in printed


def cells(kind):
    """The cells of a kind in the notebook, as text."""
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    script = tmp_path / "tour.py"
    script.write_text("\n\n".join(cells("code")), encoding="utf-8")
    found = runpy.run_path(str(script), run_name="__main__")
    plt.close("all")
    name = "mean_average_precision_at_r"
    assert found["after"][name] > found["before"][name] + 0.2
    assert len(found["instances"]) > 1
    assert found["changes"] == [int(i["step"]) for i in found["instances"][1:]]


def test_the_notebook_shows_what_it_gave_and_its_links_lead_somewhere():
    path = EXAMPLES / "tour.ipynb"
    assert path.stat().st_size < 1_000_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        told = {output["output_type"] for output in cell["outputs"]}
        drawn = [o["data"]["image/png"] for o in cell["outputs"] if "data" in o]
        source = "".join(cell["source"])
        assert told <= {"stream", "display_data"}, source
        assert ("stream" in told) == ("print(" in source), source
        assert bool(drawn) == bool(re.search(r"^(show|gallery|plt.show)\(", source, re.M)), source
        for picture in drawn:
            Image.open(io.BytesIO(base64.b64decode(picture))).verify()
    for target in re.findall(r"\]\(([^)#\s]+)", "\n".join(cells("markdown"))):
        assert (EXAMPLES / target).exists(), target
