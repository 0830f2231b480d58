"""Runs variants of a gin file over several seeds and prints their scores as a Markdown table.

python experiments/study.py                                  # every variant of VARIANTS
python experiments/study.py --only=pairs,static,ccp --seeds=0,1,2

Runs land in runs/study/<variant>-<seed>; a finished one is not run again, a stopped one resumes.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("only", [], "Names of variants; all by default.")
flags.DEFINE_list("seeds", ["0"], "Seeds of every variant.")
flags.DEFINE_string("out", "runs/study", "Folder of the runs.")
flags.DEFINE_integer("jobs", 1, "Runs at a time.")

ROOT = Path(__file__).resolve().parent.parent
RATE = "tf.keras.optimizers.Adam.learning_rate"
PATIENCE = "ProxyReinitialization.patience"
PROXIES = "ChanceConstrainedLoss.proxies_per_class"
PROX = "MetricLearner.prox_weight"

# name: (gin file, bindings)
VARIANTS = {
    "pairs": ("glyphs_ms_base", []),
    "static": ("glyphs_ms_proxies", []),
    "ccp": ("glyphs_ms", []),
    "pairs C1": ("glyphs_c1_base", []),
    "static C1": ("glyphs_c1_proxies", []),
    "ccp C1": ("glyphs_c1", []),
    "pairs C2": ("glyphs_c2_base", []),
    "static C2": ("glyphs_c2_proxies", []),
    "ccp C2": ("glyphs_c2", []),
    "pairs triplet": ("glyphs_triplet_base", []),
    "static triplet": ("glyphs_triplet_proxies", []),
    "ccp triplet": ("glyphs_triplet", []),
    "pairs rate x2": ("glyphs_ms_base", [f"{RATE}=2e-3"]),
    "static rate x2": ("glyphs_ms_proxies", [f"{RATE}=2e-3"]),
    "ccp rate x2": ("glyphs_ms", [f"{RATE}=2e-3"]),
    "static 4 proxies": ("glyphs_ms_proxies", [f"{PROXIES}=4"]),
    "ccp 4 proxies": ("glyphs_ms", [f"{PROXIES}=4"]),
    "ccp patience 1": ("glyphs_ms", [f"{PATIENCE}=1"]),
    "ccp patience 3": ("glyphs_ms", [f"{PATIENCE}=3"]),
    "ccp patience 10": ("glyphs_ms", [f"{PATIENCE}=10"]),
    "ccp no prox": ("glyphs_ms", [f"{PROX}=0.0"]),
    "ccp prox 2e-4": ("glyphs_ms", [f"{PROX}=2e-4"]),
    "ccp prox 0.1": ("glyphs_ms", [f"{PROX}=0.1"]),
    "ccp prox 1": ("glyphs_ms", [f"{PROX}=1.0"]),
    "ccp moments kept": ("glyphs_ms", ["ProxyReinitialization.restart_optimizer=False"]),
    "ccp raw k-center": ("glyphs_ms", ["ProxyReinitialization.normalized=False"]),
    "ccp augmented pool": ("glyphs_ms", ["PoolDraw.augmented=True"]),
}


def command(name, seed):
    """The command of one run."""
    gin_file, bindings = VARIANTS[name]
    run_dir = f"{FLAGS.out}/{name.replace(' ', '_')}-{seed}"
    parts = [sys.executable, str(ROOT / "experiments" / "run.py"), f"--run_dir={run_dir}"]
    parts.append(f"--gin_file={ROOT / 'gin' / gin_file}.gin")
    return parts + [f"--gin_bindings={b}" for b in [*bindings, f"train.seed={seed}"]], run_dir


def run_all(names):
    """Runs what is not finished, `--jobs` at a time; returns the results by variant."""
    waiting = [command(name, seed) for name in names for seed in FLAGS.seeds]
    todo = [parts for parts, run_dir in waiting if not (Path(run_dir) / "results.json").exists()]
    running = []
    while todo or running:
        while todo and len(running) < FLAGS.jobs:
            running.append(subprocess.Popen(todo.pop(0)))
        if running.pop(0).wait():
            raise SystemExit("A run failed; what is finished is kept.")
    return {
        name: [
            json.loads((Path(command(name, seed)[1]) / "results.json").read_text())
            for seed in FLAGS.seeds
        ]
        for name in names
    }


def cell(values):
    """Mean, and standard deviation where there are several values, in percent."""
    values = [100.0 * value for value in values]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def main(_):
    results = run_all(FLAGS.only or list(VARIANTS))
    print("| variant | test MAP@R | test P@1 | validation MAP@R | best step |")
    print("| --- | --- | --- | --- | --- |")
    for name, runs in results.items():
        scores = [
            cell([run["test"]["map_at_r"] for run in runs]),
            cell([run["test"]["precision_at_1"] for run in runs]),
            cell([run["validation"]["map_at_r"] for run in runs]),
            f"{statistics.mean(run['best_step'] for run in runs):.0f}",
        ]
        print(f"| {name} | {' | '.join(scores)} |")


if __name__ == "__main__":
    app.run(main)
