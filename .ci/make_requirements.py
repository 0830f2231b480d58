"""Writes the requirements of both stacks as setup.py has them.

python .ci/make_requirements.py
"""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = {"default": "requirements.txt", "addons": "requirements-addons.txt"}
HEADER = "# {about}\n# Made by .ci/make_requirements.py of the list in setup.py.\n"


def text(stack: str) -> str:
    """What the file of a stack is to hold."""
    setup = runpy.run_path(str(ROOT / "setup.py"))
    lines = setup["requirements"](setup["REQUIRES"] | setup["STACKS"][stack])
    return HEADER.format(about=setup["ABOUT"][stack]) + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    for stack, name in FILES.items():
        (ROOT / name).write_text(text(stack), encoding="utf-8")
