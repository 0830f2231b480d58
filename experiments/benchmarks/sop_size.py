"""A run of SOP's size from files, part by part: time and memory.

CCPDML_TYPEFACES=folder python experiments/benchmarks/sop_size.py --out=runs/sop_size

Draws Latin (clean) and all Hangul syllables (noisy, half of them inverted; six images each, 67,032
files) in SOP's layout, trains a small network on the first, and trains it on with the others
(gin/drawn_fine_tune_ms.gin, fold 0 of the classes, as cross_validate.py takes it first), by the
programs that anybody would use. Of the last run the parts are timed: wall seconds, calls of each.
What is there already is not made again.
"""

import resource
import runpy
import statistics
import subprocess
import sys
import time
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/sop_size", "Folder of files and runs.")

ROOT = Path(__file__).resolve().parents[2]
DRAWN = {
    "latin": ["--domain=clean", "--images_per_class=14"],
    "hangul": ["--domain=shifted", "--images_per_class=6"],
}


def program(name, *arguments):
    """Runs a program of `experiments/` to its end."""
    subprocess.run([sys.executable, ROOT / "experiments" / name, *arguments], check=True)


def run_arguments(name, script, out):
    """Arguments of run.py for a run file on the files of a script."""
    return [
        f"--gin_file={ROOT / 'gin' / name}.gin",
        f"--data_root={out / script}",
        f"--run_dir={out / name}",
        f"--gin_bindings=trained_network.path = '{out / 'drawn_pretrain'}'",
    ]


def time_calls(times, owner, method, part):
    """Has the calls of a method timed."""
    inner = getattr(owner, method)

    def timed(*args, **kwargs):
        begun = time.perf_counter()
        result = inner(*args, **kwargs)
        times.setdefault(part, []).append(time.perf_counter() - begun)
        return result

    setattr(owner, method, timed)


def time_training(times):
    """Times evaluations, re-initialisations and the stretches of steps between evaluations."""
    from ccpdml import training

    evaluation = training.RetrievalEvaluation
    begin, end = evaluation.on_epoch_begin, evaluation.on_epoch_end

    def on_epoch_begin(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        self.begun = time.perf_counter()

    def on_epoch_end(self, *args, **kwargs):
        times.setdefault("steps between evaluations", []).append(time.perf_counter() - self.begun)
        end(self, *args, **kwargs)

    evaluation.on_epoch_begin, evaluation.on_epoch_end = on_epoch_begin, on_epoch_end
    time_calls(times, evaluation, "evaluate", "evaluation, of validation or test")
    time_calls(times, training.PoolDraw, "__call__", "pool of a re-initialisation")
    time_calls(times, training.ProxyReinitialization, "_place", "re-initialisation, with its pool")


def main(_):
    out = Path(FLAGS.out).resolve()
    for script, options in DRAWN.items():
        if not (out / script).exists():
            program(
                "draw_characters.py", f"--output={out / script}", f"--script={script}", *options
            )
    pretraining = run_arguments("drawn_pretrain", "latin", out)[:-1]
    program("run.py", *pretraining)
    times = {}
    sys.path.insert(0, str(ROOT / "experiments"))
    run = runpy.run_path(str(ROOT / "experiments" / "run.py"), run_name="imported")
    FLAGS(["run.py", *run_arguments("drawn_fine_tune_ms", "hangul", out)])
    time_training(times)
    begun = time.perf_counter()
    run["main"](["run.py"])
    print(f"| part | calls | median s | all s |\n| --- {'| ---: ' * 3}|")
    for part, each in [*times.items(), ("all", [time.perf_counter() - begun])]:
        print(f"| {part} | {len(each)} | {statistics.median(each):.2f} | {sum(each):.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kibibytes on Linux
    print(f"peak memory of the process: {peak:.2f} GiB")


if __name__ == "__main__":
    app.run(main)
