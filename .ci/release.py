"""Builds what a release consists of, in dist/, checks it, and says what is left to do.

make release

Before: set `__version__` in ccpdml/__init__.py, the only place it stands in; in CHANGELOG.md make
the heading "## Unreleased" one of version and date, "## 1.2.3 - 2030-12-31"; commit. Nothing is
tagged, pushed or uploaded.
"""

import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def obstacles(version: str, changelog: str, changes: str, tags: list[str]) -> list[str]:
    """What stands in the way of a release, in one line each.

    Args:
        version: of the package, such as "1.2.3".
        changelog: the text of CHANGELOG.md.
        changes: what `git status --porcelain` tells.
        tags: of the repository.
    """
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"`__version__` must be three numbers, such as 1.2.3. Received: {version}")
    first = re.search(r"^## (.*)\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    heading, text = first.groups() if first else ("none", "")
    if not re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", heading):
        found.append(
            f'The first heading of CHANGELOG.md must be "## {version} - <date as 2030-12-31>". '
            f"Received: {heading}"
        )
    if not re.search(r"^- ", text, re.MULTILINE):
        found.append(f"CHANGELOG.md has no line below the heading {heading}.")
    if changes:
        found.append(f"Commit these first, or remove them:\n{changes.rstrip()}")
    if f"v{version}" in tags:
        found.append(f"The tag v{version} is there already; set a new `__version__`.")
    return found


def build() -> list[Path]:
    """Makes source distribution and wheel anew, the wheel of what is in the former."""
    shutil.rmtree(DIST, ignore_errors=True)
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)
    paths = sorted(DIST.iterdir())
    call(sys.executable, "-m", "twine", "check", "--strict", *paths)
    return paths


def try_out(wheel: Path, version: str) -> None:
    """Installs the wheel, without what it needs, and asks its command for the version."""
    with tempfile.TemporaryDirectory() as folder:
        call(sys.executable, "-m", "venv", folder)
        programs = Path(folder) / "bin"
        call(programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
        told = subprocess.run(
            [programs / "ccpdml", "--version"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    if told != f"ccpdml {version}\n":
        raise SystemExit(f"ERROR: {wheel}: expected version {version}. Received: {told}")


def call(*command):
    """Runs a command; one that fails ends this."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"ERROR: {' '.join(map(str, command))} failed; what it said is above.")


def git(*arguments):
    """What a git command tells."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    version = runpy.run_path(str(ROOT / "setup.py"))["read_version"]()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    tags = git("tag", "--list").split()
    found = obstacles(version, changelog, git("status", "--porcelain"), tags)
    if found:
        raise SystemExit("\n".join(f"ERROR: {line}" for line in found))
    paths = build()
    (wheel,) = (path for path in paths if path.suffix == ".whl")
    try_out(wheel, version)
    print(
        f"Built and checked: {', '.join(str(path.relative_to(ROOT)) for path in paths)}\n"
        "If `.ci/run` passes at this commit, what is left is:\n"
        f"  git tag --annotate v{version} --message 'ccpdml {version}'\n"
        f"  git push origin v{version}\n"
        "  twine upload dist/*\n"
        'and a new heading "## Unreleased" in CHANGELOG.md.'
    )


if __name__ == "__main__":
    main()
