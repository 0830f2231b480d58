"""The console command `ccpdml`: starts a program of `experiments/`.

A module of its own, since to import `ccpdml` takes TensorFlow, for which --help need not wait. Each
program has a process to itself, as its flags have.
"""

import ast
import importlib.metadata
import importlib.util
import runpy
import sys
from pathlib import Path

PROGRAMS = (
    *("run", "embed", "search", "export", "check-data", "report", "cross-validate"),
    *("import-weights", "store-features", "draw-characters", "proxy-collapse", "study"),
    *("model-card", "calibrate", "index", "adaptation"),
)
_MORE = (
    "`ccpdml PROGRAM --help` lists the flags of a program. --gin_file=sop_ms.gin is the library's",
    "file of that name unless the working directory has one.",
)


def folder() -> Path:
    """Where the programs are: in the package where a wheel is installed, else beside it."""
    spec = importlib.util.find_spec("ccpdml")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("`ccpdml` must be installed beside its command.")
    package = Path(spec.origin).parent
    home = package if (package / "experiments").is_dir() else package.parent
    return home / "experiments"


def path_of(program: str) -> Path:
    """The file of a program, given by its name in the command."""
    return folder() / f"{program.replace('-', '_')}.py"


def usage() -> str:
    """What `ccpdml --help` tells."""
    lines = ["usage: ccpdml PROGRAM [--flag=value ...]", ""]
    for program in PROGRAMS:
        source = path_of(program).read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(source)) or ""
        lines.append(f"  {program:<16}{about.partition(chr(10))[0]}")
    return "\n".join([*lines, "", *_MORE])


def main() -> None:
    """Starts the program that the first argument names, with the other arguments.

    Raises:
        SystemExit: as the program; with one line where the first argument names none.
    """
    program, *arguments = sys.argv[1:] or ["--help"]
    if program in ("--help", "-h", "help"):
        print(usage())
        return
    if program == "--version":
        print(f"ccpdml {importlib.metadata.version('ccpdml')}")
        return
    if program not in PROGRAMS:
        raise SystemExit(
            f"ERROR: The program must be one of {', '.join(PROGRAMS)}. Received: {program}"
        )
    sys.argv[1:] = arguments
    sys.path.append(
        str(folder())
    )  # A program finds what lies beside it, after modules of the user.
    runpy.run_path(str(path_of(program)), run_name="__main__")


if __name__ == "__main__":
    main()
