"""What a user installs: a wheel of the library and of nothing else."""

import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import ccpdml

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build leaves files in the folder it is run in."""
    source = tmp_path_factory.mktemp("source")
    for name in ["setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE"]:
        shutil.copy(ROOT / name, source)
    for name in ["ccpdml", "gin", "experiments"]:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--no-build-isolation", "-w", out, source], check=True)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_the_library_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ccpdml"}
    shipped = {name for name in names if name.endswith(".py")}
    sources = (ROOT / "ccpdml").rglob("*.py")
    assert shipped == {path.relative_to(ROOT).as_posix() for path in sources}


def test_wheel_holds_the_data_of_reports(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    data = [p for p in (ROOT / "ccpdml" / "reports").rglob("*") if p.suffix in (".csv", ".json")]
    assert {path.relative_to(ROOT).as_posix() for path in data} <= set(names)


def test_wheel_has_the_version_of_the_package(wheel):
    assert wheel.name.startswith(f"ccpdml-{ccpdml.__version__}-py3-none-any")


def test_installed_wheel_imports_elsewhere_and_leaves_gin_alone(wheel, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import ccpdml, gin\n"
        "from ccpdml import data, layers, losses, metrics, models, training\n"
        f"assert ccpdml.__file__.startswith({str(site)!r}), ccpdml.__file__\n"
        "assert gin.parse_config and gin.__file__, gin\n"
        "losses.MultiSimilarityLoss()\n"
    )
    # -I: neither the folder it runs in nor PYTHONPATH can lend the repository's own package.
    subprocess.run([sys.executable, "-I", "-c", program], check=True, cwd=tmp_path)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-addons.txt"])
def test_requirements_name_what_the_package_needs(name):
    def packages(lines):
        found = (re.match(r"[A-Za-z][\w.-]*", line.strip()) for line in lines)
        return {match.group().lower() for match in found if match}

    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    needed = re.search(r"install_requires=\[(.*?)\]", setup, re.DOTALL).group(1)
    listed = packages((ROOT / name).read_text(encoding="utf-8").splitlines())
    assert packages(re.findall(r'"([^"]+)"', needed)) <= listed
