"""Files for those who work on the repository: they agree with each other and with the Makefile."""

import ast
import re
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
SETUP = runpy.run_path(str(ROOT / "setup.py"))
LOCKS = {"default": "requirements-lock.txt", "addons": "requirements-addons-lock.txt"}
WORKFLOW = (ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def locked(stack):
    """The versions in the lock file of a stack: {name: Version}."""
    lines = (ROOT / LOCKS[stack]).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("stack", LOCKS)
def test_requirements_are_made_of_the_list_in_setup(stack):
    made = runpy.run_path(str(ROOT / ".ci" / "make_requirements.py"))
    path = ROOT / made["FILES"][stack]
    assert path.read_text(encoding="utf-8") == made["text"](stack), "run `make requirements`"


@pytest.mark.parametrize("stack", LOCKS)
def test_a_lock_file_has_a_version_in_the_range_of_every_package(stack):
    asked = SETUP["REQUIRES"] | SETUP["EXTRAS"]["dev"] | SETUP["STACKS"][stack]
    for extra in ("hub", "database", "search") if stack == "default" else ():
        asked |= SETUP["EXTRAS"][extra]
    versions = locked(stack)
    for line in SETUP["requirements"](asked):
        requirement = Requirement(line)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, line


@pytest.mark.parametrize("stack", LOCKS)
def test_a_stack_only_narrows_what_the_library_asks_for(stack):
    versions = locked(stack)
    for line in SETUP["requirements"](SETUP["REQUIRES"]):
        requirement = Requirement(line)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_pre_commit_has_the_locked_ruff():
    (rev,) = re.findall(r"rev: v(\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert Version(rev) == locked("default")["ruff"]


def test_the_workflow_makes_what_is_there_on_every_python():
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    rows = re.findall(r'target: ([\w-]+), python: "([\d.]+)", lock: (\S+) ', WORKFLOW)
    assert {target for target, _, _ in rows} <= targets
    assert all((ROOT / lock).is_file() for _, _, lock in rows)
    pythons = {line.rpartition(" ")[2] for line in classifiers() if "Python ::" in line}
    assert {python for target, python, _ in rows if target == "test"} == pythons
    (local,) = re.findall(r"^for target in (.*); do", (ROOT / ".ci" / "run").read_text(), re.M)
    assert set(local.split()) <= {target for target, _, _ in rows}


def classifiers():
    return re.findall(r'"(Programming Language.*)"', (ROOT / "setup.py").read_text())


def test_nothing_but_the_package_says_its_version():
    version = SETUP["read_version"]()
    for name in ["setup.py", "pyproject.toml", "CITATION.cff", "README.md", "mkdocs.yml"]:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])", text), name


CHANGELOG = (
    "# Changelog\n\n## 1.2.0 - 2030-01-31\n\n### Added\n- One.\n\n## 1.1.0 - 2029-01-31\n- Two."
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"version": "1.2"}, "three numbers"),
        ({"version": "1.3.0"}, r'must be "## 1.3.0 - <date.*Received: 1.2.0 - 2030-01-31'),
        ({"changelog": "# Changelog\n\n## Unreleased\n- One.\n"}, "Received: Unreleased"),
        ({"changelog": "# Changelog\n"}, "Received: none"),
        ({"changelog": CHANGELOG.replace("- One.", "")}, "no line below"),
        ({"changes": " M setup.py\n"}, r"Commit these first.*\n M setup.py$"),
        ({"tags": ["v1.1.0", "v1.2.0"]}, "v1.2.0 is there already"),
    ],
)
def test_a_release_is_told_what_stands_in_its_way(given, expected):
    obstacles = runpy.run_path(str(ROOT / ".ci" / "release.py"))["obstacles"]
    nothing = {"version": "1.2.0", "changelog": CHANGELOG, "changes": "", "tags": ["v1.1.0"]}
    found = "\n".join(obstacles(**(nothing | given)))
    assert re.search(expected, found) if expected else not found


# Its arguments are the names that a run file can bind to `train`, one for each.
SLOTS_OF_A_RUN = ("experiment.py", "bound")


def functions(tree, owner=""):
    """Functions and methods at any depth: (name of the class or function around it, node)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield owner, node
        yield from functions(node, getattr(node, "name", owner))


def test_a_function_fits_on_a_screen_and_a_constructor_into_a_call():
    for path in (ROOT / "ccpdml").rglob("*.py"):
        for owner, node in functions(ast.parse(path.read_text(encoding="utf-8"))):
            lines = node.end_lineno - node.lineno + 1
            lines -= len((ast.get_docstring(node, clean=False) or "").splitlines())
            assert lines <= 45, f"{path.name}: {node.name}"
            if (path.name, node.name) != SLOTS_OF_A_RUN:
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                given = [each.arg for each in arguments if each.arg not in ("self", "cls")]
                assert len(given) <= 12, f"{path.name}: {owner}.{node.name}"


RIDDLES = {"What", "Whether", "How", "When", "Where", "Which", "Who", "Whose", "Why", "Those", "As"}


def test_docstrings_open_with_a_noun_or_a_verb():
    for path in sorted((ROOT / "ccpdml").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                words = (ast.get_docstring(node) or "None").split()
                assert words[0] not in RIDDLES, f"{path}: {' '.join(words[:9])} ..."
