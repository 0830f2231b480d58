"""What a user installs: a wheel of the library and of nothing else."""

import ast
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import zipfile

import pytest
import setuptools

import ccpdml

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Names of packages that are not those of their modules.
DISTRIBUTIONS = {"PIL": "pillow", "absl": "absl-py", "gin": "gin-config", "sklearn": "scikit-learn"}
# What a package we need brings along, and what is imported only by those who have it.
BROUGHT_ALONG = {
    "fontTools": "matplotlib",
    "h5py": "tensorflow",
    "keras": "tensorflow",
    "threadpoolctl": "scikit-learn",
}
# Addons belong to one stack; torch and PML to a benchmark; the rest to the extras export and hub.
OPTIONAL = {"tensorflow_addons", "torch", "pytorch_metric_learning", "onnx", "onnxruntime"}
OPTIONAL |= {"tf2onnx", "keras_hub", "ai_edge_litert"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build leaves files in the folder it is run in."""
    source = tmp_path_factory.mktemp("source")
    for name in ["setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md"]:
        shutil.copy(ROOT / name, source)
    shutil.copy(ROOT / "ccpdml_command.py", source)
    for name in ["ccpdml", "gin", "experiments"]:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--no-build-isolation", "-w", out, source], check=True)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_the_library_its_programs_and_run_files_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "ccpdml",
        "ccpdml_command.py",
    }
    shipped = {name for name in names if name.endswith((".py", ".gin"))}
    sources = [*(ROOT / "ccpdml").rglob("*.py"), ROOT / "ccpdml_command.py"]
    beside = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "gin").rglob("*.gin")]
    assert shipped == {
        *(path.relative_to(ROOT).as_posix() for path in sources),
        *(f"ccpdml/{path.relative_to(ROOT).as_posix()}" for path in beside),
    }


def test_wheel_holds_the_data_of_reports_and_the_mark_of_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    data = [
        p for p in (ROOT / "ccpdml" / "reports").rglob("*") if p.suffix in (".css", ".csv", ".json")
    ]
    assert {path.relative_to(ROOT).as_posix() for path in data} <= set(names)
    assert "ccpdml/py.typed" in names


def test_every_file_that_packaging_and_tests_name_is_there():
    included = re.findall(r"^include (.+)", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE)
    named = [name for line in included for name in line.split()]
    # An empty file is lost on some ways that a repository is handed on.
    assert all((ROOT / name).stat().st_size for name in [*named, "tests/golden/README.md"])


@pytest.fixture(scope="module")
def setup_file():
    """What `setup.py` defines, and what it hands to setuptools."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
        return runpy.run_path(str(ROOT / "setup.py"), run_name="__main__"), given


def links(markdown):
    """The targets of links and images that lead out of the page."""
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", markdown) if not t.startswith("#")]


@pytest.mark.parametrize("url", [None, "https://host/owner/name"])
def test_no_link_of_the_description_is_relative(setup_file, url):
    for_index = setup_file[0]["for_index"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = for_index(readme, url)
    assert all(target.startswith("https://") for target in links(made))
    fences = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
    assert fences.findall(made) == fences.findall(readme)
    short = "![a](b.png)\n\n*what it shows*\n\nSee [c d](docs/e.md#f), [g](https://h), [i](#j).\n"
    there = f"{url}/blob/HEAD/docs/e.md#f"
    picture = f"![a]({url}/raw/HEAD/b.png)\n\n*what it shows*\n\n"
    links_kept = "[g](https://h), [i](#j).\n"
    expected = f"{picture}See [c d]({there}), " if url else "See c d, "
    assert for_index(short, url) == expected + links_kept


def test_the_description_is_made_for_the_address_that_setup_names(setup_file):
    names, given = setup_file
    assert given["url"] == names["PROJECT_URL"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert given["long_description"] == names["for_index"](readme, names["PROJECT_URL"])


def test_wheel_has_the_version_of_the_package(wheel):
    assert wheel.name.startswith(f"ccpdml-{ccpdml.__version__}-py3-none-any")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A virtual environment with the wheel, which has all else from that of these tests."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    subprocess.run([*command, "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")))
    return folder / "bin"


def outside(command, folder):
    """What a command prints in a folder where nothing but the installed wheel can be found."""
    environment = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "CCPDML_DATA")}
    environment |= {"CCPDML_DATA": str(folder / "data")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_installed_command_tells_its_programs_and_their_flags(installed, tmp_path):
    told = outside([installed / "ccpdml"], tmp_path)
    assert re.search(r"^  cross-validate +Trains", told, re.MULTILINE)
    assert (
        outside([installed / "ccpdml", "--version"], tmp_path) == f"ccpdml {ccpdml.__version__}\n"
    )
    done = subprocess.run([installed / "ccpdml", "embed", "--help"], capture_output=True, text=True)
    assert "--encoder: Directory of a run" in done.stdout
    assert "ccpdml embed --encoder=" in done.stdout


def test_installed_wheel_runs_elsewhere_and_leaves_gin_alone(installed, tmp_path):
    (tmp_path / "mine.gin").write_text("include 'digits_ms.gin'\ntrain.steps = 50\n")
    program = (
        "import sys\n"
        "import tensorflow as tf; tf.keras.Model\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        "import ccpdml, gin\n"
        "brought = {name.split('.')[0] for name in sys.modules} - before\n"
        "assert not brought & {'sklearn', 'scipy', 'matplotlib', 'fontTools'}, brought\n"
        f"assert ccpdml.__file__.startswith({str(installed.parent)!r}), ccpdml.__file__\n"
        "assert gin.parse_config and gin.__file__, gin\n"
        "import ccpdml_command\n"
        "sys.argv = ['ccpdml', 'run', '--gin_file=mine.gin', '--dry_run']\n"
        "ccpdml_command.main()\n"
    )
    plan = outside([installed / "python", "-c", program], tmp_path)
    assert "4 classes x 8 images" in plan
    assert re.search(r"steps +50,", plan)
    assert "runs/mine, a new run" in plan


def packages(lines):
    """The names of packages, in lower case, that requirement lines begin with."""
    return {re.match(r"[A-Za-z][\w.-]*", line).group().lower() for line in lines}


def imported(path):
    """Top-level names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_what_the_package_imports_is_what_it_requires(setup_file):
    files = [*(ROOT / "ccpdml").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]
    names = {name for path in files for name in imported(path)}
    names -= set(sys.stdlib_module_names) | OPTIONAL | {"ccpdml", "experiments"}
    names -= {path.stem for path in (ROOT / "experiments").rglob("*.py")}  # They lie side by side.
    names = {BROUGHT_ALONG.get(name, name) for name in names}
    assert {DISTRIBUTIONS.get(name, name) for name in names} <= packages(
        setup_file[1]["install_requires"]
    )
