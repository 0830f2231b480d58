"""Programs of `experiments/` in the process of the tests, which is quicker than in their own."""

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import gin
from absl import flags

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@contextlib.contextmanager
def imported(name):
    """The names of a program; the flags that it defines are gone afterwards."""
    before = set(flags.FLAGS)
    try:
        # As Python does, which looks into the folder of a program first.
        with mock.patch.object(sys, "path", [str(EXPERIMENTS), *sys.path]):
            program = runpy.run_path(str(EXPERIMENTS / name), run_name="imported")
        yield program
    finally:
        flags.FLAGS.unparse_flags()
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)


def run(name, *arguments):
    """Runs a program."""
    with imported(name) as program:
        program["main"](flags.FLAGS([name, *map(str, arguments)]))


def run_in(folder, name, *arguments):
    """Runs a program in a folder, as if in a process of its own.

    Returns:
        Tuple of what it leaves with, None if it comes to its end, and what it printed.
    """
    gin.clear_config()
    printed = io.StringIO()
    with contextlib.chdir(folder), mock.patch.dict(os.environ), contextlib.redirect_stdout(printed):
        try:
            run(name, *arguments)
            code = None
        except SystemExit as leaving:
            code = leaving.code
        finally:
            gin.clear_config()
    return code, printed.getvalue()
