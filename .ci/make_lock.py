"""Writes the versions that are installed in both environments into requirements*-lock.txt.

.venv/bin/python .ci/make_lock.py .venv-addons/bin/python
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Versions that the suite passes with, for `pip -c`. Made by .ci/make_lock.py.\n"
NOT_LOCKED = ("pip", "wheel")  # They are not installed as a package of ours.


def text(python: str) -> str:
    """The versions in the environment of a Python, as pip reads them."""
    command = [python, "-m", "pip", "list", "--format=freeze", "--exclude-editable"]
    command += [f"--exclude={name}" for name in NOT_LOCKED]
    return HEADER + subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    default, addons = sys.executable, *sys.argv[1:]
    (ROOT / "requirements-lock.txt").write_text(text(default), encoding="utf-8")
    (ROOT / "requirements-addons-lock.txt").write_text(text(addons), encoding="utf-8")
