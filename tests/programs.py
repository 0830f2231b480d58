"""Programs of `experiments/` in the process of the tests, which is quicker than in their own."""

import contextlib
import runpy
from pathlib import Path

from absl import flags

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@contextlib.contextmanager
def imported(name):
    """The names of a program; the flags that it defines are gone afterwards."""
    before = set(flags.FLAGS)
    try:
        yield runpy.run_path(str(EXPERIMENTS / name), run_name="imported")
    finally:
        flags.FLAGS.unparse_flags()
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)


def run(name, *arguments):
    """Runs a program."""
    with imported(name) as program:
        program["main"](flags.FLAGS([name, *map(str, arguments)]))
