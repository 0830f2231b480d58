"""How long `import ccpdml` takes beside `import tensorflow`.

python experiments/benchmarks/import_time.py

Each import in a new process, in turn with the others; `tf.keras` is loaded in all of them, as
TensorFlow puts it off until it is used. Medians of the wall time and of the CPU time.
"""

import json
import statistics
import subprocess
import sys

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("rounds", 15, "Imports of each kind.", lower_bound=1)

PROGRAMS = {
    "tensorflow": "import tensorflow as tf; tf.keras.Model",
    "ccpdml": "import tensorflow as tf; tf.keras.Model; import ccpdml",
}
PROGRAM = """
import json, os, time
started = time.perf_counter()
{}
times = os.times()
print(json.dumps([time.perf_counter() - started, times.user + times.system]))
"""


def seconds(program):
    """Wall and CPU seconds of a program in a new process."""
    command = [sys.executable, "-c", PROGRAM.format(program)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    for program in PROGRAMS.values():  # Files into the cache of the system.
        seconds(program)
    rounds = [
        {name: seconds(program) for name, program in PROGRAMS.items()} for _ in range(FLAGS.rounds)
    ]
    for index, kind in enumerate(("wall", "CPU")):
        medians = {name: statistics.median(r[name][index] for r in rounds) for name in PROGRAMS}
        ratios = [r["ccpdml"][index] / r["tensorflow"][index] for r in rounds]
        print(
            f"{kind}: tensorflow {medians['tensorflow']:.2f} s, with ccpdml "
            f"{medians['ccpdml']:.2f} s; on top {100 * (statistics.median(ratios) - 1):.1f} % "
            f"(median over {len(rounds)} pairs)"
        )


if __name__ == "__main__":
    app.run(main)
