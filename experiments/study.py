"""Runs methods x losses x seeds in a regime, and compares them pair by pair.

python experiments/study.py --regime=features                  # every method and loss, five seeds
python experiments/study.py --regime=glyphs --losses=ms --methods=pairs,static,ccp --seeds=0,1,2

Each seed is a draw of its own: of classes, weights and batches. Methods are compared on the same
draws, so what differs is the method. Where a method has several settings (learning rate, weight of
the pairs, ...), all of them run on one more draw, `--tuning_seed`, and the one with the best
validation score there runs on the others. Runs land in
<out>/<regime>/<loss>-<method>-<setting>-<seed>; a finished one is not run again, a stopped one
resumes, and the same command given several times at once, also on several machines with a common
folder, shares the runs out. Writes <out>/<regime>/<name>table.md and figures.

The regimes `features` and `fine_tune` start from a network that is trained once, on clean
characters of other classes, and kept in <out>/pretrain.
"""

import functools
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import study_tables
import tqdm
from absl import app, flags
from study_methods import METHODS, RATES, REGIMES

FLAGS = flags.FLAGS
flags.DEFINE_enum("regime", "features", ["features", "fine_tune", "scratch", "glyphs"], "Which.")
flags.DEFINE_list("losses", ["ms", "c2", "c1", "triplet"], "Pair losses.")
flags.DEFINE_list("methods", ["pairs", "static", "xbm", "ccp"], "Keys of METHODS.")
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Draws.")
flags.DEFINE_string("out", "runs/study", "Folder of the runs.")
flags.DEFINE_list("rates", None, "Learning rates to choose from. Default: RATES of the regime.")
flags.DEFINE_string("name", "", "Begins the names of table and figures.")
flags.DEFINE_string("tuning_seed", "5", "Draw on which settings are chosen.")
flags.DEFINE_integer("jobs", 1, "Runs at a time.")
flags.DEFINE_string("script", "hangul", "Script of the characters, or 'first,last' code point.")
flags.DEFINE_multi_string("gin_bindings", [], "A binding for every run. Repeatable.")

ROOT = Path(__file__).resolve().parent.parent
ACTIVE = 73  # Exit code of run.py where another process is at work on a run.
PRETRAIN_CLASSES = 1000
CLASSES_PER_DRAW = {"fine_tune": 1680, "features": 600, "scratch": 600}


class Key(NamedTuple):
    """One run. `loss` is empty where the method brings its own."""

    loss: str
    method: str
    setting: str
    seed: str

    @property
    def place(self):
        return Path(FLAGS.out) / FLAGS.regime / "-".join(filter(None, self))


def main(_):
    if FLAGS.tuning_seed in FLAGS.seeds:
        raise app.UsageError("--tuning_seed must not be one of --seeds: it chooses the settings.")
    if FLAGS.regime in ("features", "fine_tune"):
        finish({pretrained(): pretraining})
    chosen = choose()
    keys = [Key(*name, chosen[name], seed) for name in chosen for seed in FLAGS.seeds]
    finish({key.place: functools.partial(command, key) for key in keys})
    runs = {(loss, method): _draws(loss, method, chosen[loss, method]) for loss, method in chosen}
    study_tables.write(Path(FLAGS.out) / FLAGS.regime, runs, FLAGS.name)


def choose():
    """{(loss, method): the setting with the best validation score on the tuning draw}."""
    candidates = {}
    for loss, method in itertools.product(FLAGS.losses, FLAGS.methods):
        found = METHODS[method]
        base = found.tuned_as or method
        candidates["" if found.has_loss else loss, method] = [
            Key("" if found.has_loss else loss, base, setting, FLAGS.tuning_seed)
            for setting in METHODS[base].settings(_rates())
        ]
    trials = [key for keys in candidates.values() for key in keys if len(keys) > 1]
    finish({key.place: functools.partial(command, key) for key in trials})
    return {name: _best(keys).setting for name, keys in candidates.items()}


def _rates():
    return RATES[FLAGS.regime] if FLAGS.rates is None else FLAGS.rates


def _best(keys):
    if len(keys) == 1:
        return keys[0]
    return max(keys, key=lambda key: _results(key)["validation"]["map_at_r"])


def command(key):
    """The command line of one run."""
    method = METHODS[key.method]
    own = method.settings(_rates())[key.setting]
    bindings = [*own, f"train.seed={key.seed}", "train.tensorboard=False"]
    loss = [f"losses/{key.loss}"] if key.loss else []
    files = [*REGIMES[FLAGS.regime], *loss, *method.files(FLAGS.regime)]
    return [*_command(files, key.place), *_bindings(bindings), *_data(int(key.seed))]


def _data(seed):
    """Arguments of run.py that say which draw of the data is meant."""
    if FLAGS.regime == "glyphs":
        return []
    if FLAGS.regime == "features":
        return [f"--data_root={_stored_features(seed)}"]
    if FLAGS.regime == "fine_tune":
        start = f"trained_network.path='{pretrained() / 'encoder.keras'}'"
        return _bindings([*_draw(seed, "shifted"), start])
    return _bindings(_draw(seed, "clean"))


def pretrained():
    """The run that the other regimes start from."""
    return Path(FLAGS.out) / "pretrain"


def pretraining():
    """Its command line."""
    return [*_command(["characters_pretrain"], pretrained()), *_bindings([_script()])]


def _draw(seed, domain):
    """Bindings of the characters of one draw; no two draws share a class."""
    return [
        _script(),
        f"data.load.domain='{domain}'",
        f"data.load.first_class={PRETRAIN_CLASSES + seed * CLASSES_PER_DRAW[FLAGS.regime]}",
    ]


def _script():
    is_name = "," not in FLAGS.script
    return f"data.load.script={repr(FLAGS.script) if is_name else f'({FLAGS.script})'}"


def _stored_features(seed):
    """The features of one draw, made if they are not there."""
    path = Path(FLAGS.out) / "features" / f"draw-{seed}"
    if not (path / "labels.npy").exists():  # Written last.
        program = [sys.executable, str(ROOT / "experiments" / "store_features.py")]
        files = [f"--gin_file={ROOT / 'gin' / 'characters_ms.gin'}"]
        places = [f"--encoder={pretrained()}", f"--output={path}"]
        _call([*program, *files, *places, *_bindings(_draw(seed, "noisy"))])
    return path


def _command(files, place):
    program = [sys.executable, str(ROOT / "experiments" / "run.py"), f"--run_dir={place}"]
    return program + [f"--gin_file={ROOT / 'gin' / name}.gin" for name in files]


def _bindings(bindings):
    return [f"--gin_bindings={binding}" for binding in [*bindings, *FLAGS.gin_bindings]]


def finish(runs):
    """Finishes runs, `--jobs` at a time; those another process is at work on are waited for.

    Args:
        runs: {run directory: function that gives its command}.
    """
    waiting, active = [run for run in runs.items() if not _is_done(run[0])], {}
    bar = tqdm.tqdm(total=len(waiting), unit="run")
    while waiting or active:
        while waiting and len(active) < FLAGS.jobs:
            place, make = waiting.pop(0)
            log = open(_log(place), "ab")  # noqa: SIM115  (as long as the process)
            process = subprocess.Popen(make(), stdout=log, stderr=log, env=_environment())
            active[process] = (place, make)
        for process in [process for process in active if process.poll() is not None]:
            run = active.pop(process)
            if process.returncode == ACTIVE:
                waiting.append(run)
            elif process.returncode:
                raise SystemExit(f"A run failed: {_log(run[0])}. What is finished is kept.")
            else:
                bar.update()
        waiting = [run for run in waiting if not _is_done(run[0])]
        time.sleep(0.2)
    bar.close()


def _environment():
    """Cores are shared among the runs: with a pool of all of them each, they would fight."""
    threads = str(max(1, (os.cpu_count() or 1) // FLAGS.jobs))
    return os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}


def _log(place):
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.with_suffix(".log")


def _is_done(place):
    # One that was begun with --baseline_only has results without scores of a training.
    path = place / "results.json"
    return path.exists() and "test" in json.loads(path.read_text())


def _call(line):
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr[-2000:]}")


def _draws(loss, method, setting):
    keys = [Key(loss, method, setting, seed) for seed in FLAGS.seeds]
    return study_tables.Draws(
        setting,
        [100.0 * _results(key)["test"]["map_at_r"] for key in keys],
        [_history(key) for key in keys],
    )


def _history(key):
    lines = (key.place / "logs" / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _results(key):
    return json.loads((key.place / "results.json").read_text())


if __name__ == "__main__":
    app.run(main)
