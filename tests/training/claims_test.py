"""Whose a run directory is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gin
import pytest

from ccpdml import config
from ccpdml.runs import claims, identity

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "gin" / "digits_ms.gin"


def description(digest="a", images=8, root="/photos"):
    part = {"images": images, "classes": 2, "class_names": "n", "digest": digest}
    return {"root": root, "parts": {"train": part, "test": part}}


def recipe(**values):
    return {**identity.defaults(), "schedule.steps": "7", **values}


def configure(*bindings):
    gin.clear_config()
    config.load([DIGITS], bindings)


def test_a_run_directory_belongs_to_one_configuration(tmp_path):
    configure()
    claims.make(tmp_path, tmp_path, description())
    claims.make(tmp_path, tmp_path, description())  # the same command again
    configure("train.steps = 7")
    with pytest.raises(config.ConfigError, match="train.steps = 7"):
        claims.make(tmp_path, tmp_path, description())


def test_a_directory_from_before_recipes_is_known_by_its_configuration_and_then_by_both(tmp_path):
    configure()
    claims.make(tmp_path, tmp_path, description())
    claims.make(tmp_path, tmp_path, description(), recipe())
    with pytest.raises(config.ConfigError, match="schedule.steps: 7 then, 8 now"):
        claims.make(tmp_path, tmp_path, description(), recipe(**{"schedule.steps": "8"}))
    (tmp_path / claims.RECIPE).write_text("{")
    with pytest.raises(config.ConfigError, match=r"recipe\.json must say"):
        claims.make(tmp_path, tmp_path, description(), recipe())


def test_what_a_later_version_can_vary_was_at_its_default(tmp_path):
    configure()
    claims.make(tmp_path, tmp_path, description(), {"schedule.steps": "7"})
    claims.refuse_other(tmp_path, description(), recipe())
    with pytest.raises(config.ConfigError, match=r"schedule\.seed: 0 then, 1 now"):
        claims.refuse_other(tmp_path, description(), recipe(**{"schedule.seed": "1"}))


def test_the_saved_configuration_can_be_replayed(tmp_path):
    configure()
    claims.make(tmp_path, tmp_path, description())
    gin.clear_config()
    config.load([tmp_path / "config.gin"])
    claims.make(tmp_path, tmp_path, description())


def test_a_run_directory_belongs_to_one_data_set(tmp_path):
    configure()
    claims.make(tmp_path, tmp_path, description())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for other in (description("b"), description("b", images=9, root="/others")):
        with pytest.raises(config.ConfigError, match=r"other data.*of /photos") as caught:
            claims.make(tmp_path, tmp_path, other)
        assert "train: 8 images of 2 classes then" in str(caught.value)
        assert "--run_dir" in str(caught.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_data_may_move_and_what_cannot_be_read_be_left_out(tmp_path):
    configure(f"data.load.root = '{'/long' * 40}'")
    claims.make(tmp_path, tmp_path, description())
    configure("data.load.skip_corrupt = True", "data.load.root = '/elsewhere'")
    claims.make(tmp_path, tmp_path, description(root="/elsewhere"))
    assert json.loads((tmp_path / "data.json").read_text())["root"] == "/elsewhere"
    assert "skip_corrupt" in (tmp_path / "config.gin").read_text()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"root": null, "parts": 3}'])
def test_a_run_that_does_not_say_which_data_it_is_on_is_refused(tmp_path, content):
    configure()
    claims.make(tmp_path, tmp_path, description())
    path = tmp_path / "data.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(config.ConfigError, match=r"data\.json must say which data"):
        claims.make(tmp_path, tmp_path, description())


@pytest.mark.parametrize("name", ["logs", "checkpoints", "figures"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, name):
    configure()
    (tmp_path / name).touch()
    with pytest.raises(config.ConfigError, match=f"{name} must be a folder"):
        claims.make(tmp_path, tmp_path, description())


RACE = """
import os, sys, time
from pathlib import Path
import gin
from ccpdml import config, training
from ccpdml.cluster import lock, strategies

folder, num_rounds = Path(sys.argv[1]), int(sys.argv[2])


class Run(training.Experiment):
    def __init__(self, run_dir):
        self.run_dir = self.output_dir = run_dir
        self.data = {"root": None, "parts": {}}
        self.strategy = strategies.by_name("default")

    def _identity(self):
        return None

    def assemble(self):
        return None

    def _run(self, run):
        end = time.monotonic() + 60
        while not (self.run_dir / "lost").exists() and time.monotonic() < end:
            time.sleep(0.001)
        return {}


def child(run_dir, seed, start):
    with gin.unlock_config():
        gin.bind_parameter("train.seed", seed)
    while time.time() < start:
        pass
    try:
        Run(run_dir).run()
    except lock.RunActiveError:
        (run_dir / "lost").touch()
        os._exit(lock.EXIT_CODE)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)


config.load([sys.argv[3]])
for number in range(num_rounds):
    pids, start = [], time.time() + 0.02
    for seed in (1, 2):
        pids.append(os.fork())
        if pids[-1] == 0:
            child(folder / str(number) / "run", seed, start)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    text = (folder / str(number) / "run" / "config.gin").read_text()
    print(*codes, 1 if "train.seed = 1" in text else 2, flush=True)
"""


def test_of_two_processes_at_one_moment_one_wins_and_its_configuration_stays(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path), "25", str(DIGITS)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    rounds = done.stdout.split("\n")[:-1]
    assert len(rounds) == 25, done.stdout
    assert set(rounds) <= {"0 73 1", "73 0 2"}
