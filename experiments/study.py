"""Runs methods x losses x seeds in a regime, and compares them pair by pair.

python experiments/study.py --regime=features                  # every method and loss, five seeds
python experiments/study.py --regime=glyphs --losses=ms --methods=pairs,static,ccp --seeds=0,1,2

Each seed is a draw of its own: of classes, weights and batches. Methods are compared on the same
draws, so what differs is the method. Of several settings of a method the one with the best mean
validation score counts. Runs land in <out>/<regime>/<loss>-<method>-<setting>-<seed>; a finished
one is not run again, a stopped one resumes, and the same command given several times at once, also
on several machines with a common folder, shares the runs out. Writes <out>/<regime>/table.md.

The regimes `features` and `fine_tune` start from a network that is trained once, on clean
characters of other classes, and kept in <out>/pretrain.
"""

import functools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tqdm
from absl import app, flags
from scipy import stats

FLAGS = flags.FLAGS
flags.DEFINE_enum("regime", "features", ["features", "fine_tune", "scratch", "glyphs"], "Which.")
flags.DEFINE_list("losses", ["ms", "c2", "c1", "triplet"], "Pair losses.")
flags.DEFINE_list("methods", ["pairs", "static", "xbm", "ccp"], "Keys of METHODS.")
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Draws.")
flags.DEFINE_string("out", "runs/study", "Folder of the runs.")
flags.DEFINE_integer("jobs", 1, "Runs at a time.")
flags.DEFINE_string("script", "hangul", "Script of the characters, or 'first,last' code point.")
flags.DEFINE_multi_string("gin_bindings", [], "A binding for every run. Repeatable.")

ROOT = Path(__file__).resolve().parent.parent
ACTIVE = 73  # Exit code of run.py where another process is at work on a run.
RATE = "tf.keras.optimizers.Adam.learning_rate"
PERIOD = "ProxyReinitialization.period"
PROXIES = "ChanceConstrainedLoss.proxies_per_class"
PAIRS = "ChanceConstrainedLoss.pair_weight"

# name: (gin files of the method, settings to choose from by validation: {name: bindings})
METHODS = {
    "pairs": (["methods/pairs"], {"": []}),
    "static": (
        ["methods/proxies", "methods/ccp_glyphs"],
        {"": [], "pair_weight_1": [f"{PAIRS}=1.0"]},
    ),
    "static_4": (["methods/proxies", "methods/ccp_glyphs"], {"": [f"{PROXIES}=4"]}),
    "static_1": (["methods/proxies", "methods/ccp_glyphs"], {"": [f"{PROXIES}=1"]}),
    "xbm": (["methods/xbm", "methods/xbm_characters"], {"": []}),
    "ccp": (
        ["methods/ccp", "methods/ccp_glyphs", "methods/ccp_period"],
        {"": [], "pair_weight_1": [f"{PAIRS}=1.0"]},
    ),
    "ccp_patience": (["methods/ccp", "methods/ccp_glyphs"], {"": []}),
    "ccp_growing": (
        ["methods/ccp", "methods/ccp_glyphs", "methods/ccp_period"],
        {"": [f"{PERIOD}=(3, 6, 12, 24)"]},
    ),
    **{
        f"ccp_period_{n}": (
            ["methods/ccp", "methods/ccp_glyphs", "methods/ccp_period"],
            {"": [f"{PERIOD}={n}"]},
        )
        for n in (1, 2, 5, 10)
    },
}
# regime: gin files of data and network, before those of loss and method
REGIMES = {
    "features": ["datasets/features", "regimes/features"],
    "fine_tune": ["datasets/characters", "regimes/fine_tune"],
    "scratch": ["datasets/characters", "regimes/scratch"],
    "glyphs": ["datasets/glyphs"],
}
PRETRAIN_CLASSES, CLASSES_PER_DRAW = 1000, 600


def main(_):
    folder = Path(FLAGS.out) / FLAGS.regime
    keys = [
        (loss, method, setting, seed)
        for loss in FLAGS.losses
        for method in FLAGS.methods
        for setting in METHODS[method][1]
        for seed in FLAGS.seeds
    ]
    places = {key: folder / "-".join(filter(None, key)) for key in keys}
    if FLAGS.regime in ("features", "fine_tune"):
        finish({pretrained(): pretraining})
    finish({place: functools.partial(command, key, place) for key, place in places.items()})
    write(folder, {key: _results(place) for key, place in places.items()})


def command(key, place):
    """The command line of one run."""
    loss, method, setting, seed = key
    files, settings = METHODS[method]
    bindings = [*settings[setting], f"train.seed={seed}", "train.tensorboard=False"]
    files = [*REGIMES[FLAGS.regime], f"losses/{loss}", *files]
    return [*_command(files, place), *_bindings(bindings), *_data(int(seed))]


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
        f"data.load.first_class={PRETRAIN_CLASSES + seed * CLASSES_PER_DRAW}",
    ]


def _script():
    is_name = "," not in FLAGS.script
    return f"data.load.script={repr(FLAGS.script) if is_name else f'({FLAGS.script})'}"


def _stored_features(seed):
    """The features of one draw, made if they are not there."""
    path = Path(FLAGS.out) / "features" / f"draw-{seed}.npz"
    if not path.exists():
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
            active[subprocess.Popen(make(), stdout=log, stderr=log)] = (place, make)
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


def _log(place):
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.with_suffix(".log")


def _is_done(place):
    return (place / "results.json").exists()


def _call(line):
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr[-2000:]}")


def _results(place):
    return json.loads((place / "results.json").read_text())


def write(folder, results):
    """Writes and prints the table.

    Args:
        folder: of the regime.
        results: {(loss, method, setting, seed): what results.json holds}.
    """
    scores = {key: 100.0 * found["test"]["map_at_r"] for key, found in results.items()}
    lines = list(table(scores, choose(results)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def choose(results):
    """{(loss, method): the setting with the best mean validation score}."""

    def validation(loss, method, setting):
        found = [results[loss, method, setting, seed] for seed in FLAGS.seeds]
        return statistics.mean(each["validation"]["map_at_r"] for each in found)

    return {
        (loss, method): max(METHODS[method][1], key=functools.partial(validation, loss, method))
        for loss in FLAGS.losses
        for method in FLAGS.methods
    }


def table(scores, chosen):
    """Lines of Markdown: test MAP@R of each method, and what it is above each other one.

    Args:
        scores: {(loss, method, setting, seed): percent}.
        chosen: {(loss, method): setting}.
    """
    methods = FLAGS.methods
    yield "| loss | method | setting | test MAP@R |" + "".join(f" over {m} |" for m in methods)
    yield "| --- " * (4 + len(methods)) + "|"
    for (loss, method), setting in chosen.items():
        own = [scores[loss, method, setting, seed] for seed in FLAGS.seeds]
        cells = [loss, method, setting or "as shipped", _mean(own)]
        for other in methods:
            rival = [scores[loss, other, chosen[loss, other], seed] for seed in FLAGS.seeds]
            same = other == method
            cells.append("" if same else difference(np.subtract(own, rival)))
        yield f"| {' | '.join(cells)} |"


def _mean(values):
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def difference(values):
    """Mean of paired differences, and its 95 % interval (Student's t); bold if all above 0."""
    mean = np.mean(values)
    if len(values) < 2 or np.ptp(values) == 0:
        return f"{mean:+.1f}"
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=stats.sem(values))
    text = f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{text}**" if low > 0 else text


if __name__ == "__main__":
    app.run(main)
