"""README, CONTRIBUTING and docs/: what they tell a reader to type runs, what they name is there.

The blocks of a page run in its order, in one copy of the checkout, as a reader would: programs in
this process, other commands in bash, neighboring Python blocks as one program. Gin blocks, and
modules among the Python blocks, are files, named in their first line.
Training is cut short by bindings and flags that are added to the commands.
"""

import contextlib
import functools
import inspect
import itertools
import os
import re
import runpy
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from unittest import mock

import gin
import pytest

from ccpdml import compat, config, training
from ccpdml.data import loading
from tests import documents, programs

ROOT, PAGES, README = documents.ROOT, documents.PAGES, documents.PAGES[0]
SHOWN = {"text", "json", "yaml"}  # Languages that are there to be read.
FEW_STEPS = ["--gin_bindings=train.steps = 4", "--gin_bindings=train.evaluate_every = 4"]
ADDED = {"run.py": FEW_STEPS, "cross_validate.py": [*FEW_STEPS, "--folds=2", "--repeats=1"]}
NOT_COPIED = {"runs", "build", "dist", "gin", "ccpdml.egg-info", "__pycache__"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def to_run(page):
    """The blocks that run here."""
    return [b for b in documents.blocks(page) if not (b.not_run or b.run_by)]


def pages_to_run():
    """The pages with something to run."""
    return [p for p in PAGES if {"python", "sh"} & {block.language for block in to_run(p)}]


def python_of(page):
    """The Python of a page that runs here, as one text."""
    return "\n".join(b.text for b in to_run(page) if b.language == "python")


def checkout(folder):
    """Makes a folder look like a checkout after `make test`; what is run there stays there."""
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in NOT_COPIED:
            (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / "gin", folder / "gin")
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    few = f'case "$1" in */run.py) set -- "$@" {shlex.join(FEW_STEPS)} ;; esac'
    for name, start in (("python", ""), ("ccpdml", "-m ccpdml_command ")):
        path = bin_folder / name
        path.write_text(f'#!/bin/sh\n{few}\nexec {sys.executable} {start}"$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    for done in ("packages", "installed"):
        (folder / ".venv" / done).touch()


def run_commands(block, folder):
    """Runs a block of commands; an error names the page.

    What may fail is followed by `||`, and must fail.
    """
    for line in documents.split(block.text):
        command, may_fail, _ = line.partition("||")
        words = shlex.split(documents.as_program(command), comments=True)
        if not words[0].endswith("python"):
            run_in_bash(block, line, folder)
            continue
        name = words[1].removeprefix("experiments/")
        with folds_in_this_process(name, words):
            code, printed = programs.run_in(folder, name, *words[2:], *ADDED.get(name, ()))
        has_failed = code not in (None, 0)
        assert has_failed == bool(may_fail), f"{block}\n{line}\n{printed[-3000:]}{code}"


@contextlib.contextmanager
def folds_in_this_process(name, words):
    """Has a cross-validation make its runs here; `cross_validate_test.py` has the processes."""
    if name != "cross_validate.py" or "--dry_run" in words:
        yield
        return

    def run(command):
        flags = [word.removeprefix("--").partition("=")[::2] for word in command[2:]]
        run_dirs, files, bindings = (
            [value for flag, value in flags if flag == wanted]
            for wanted in ("run_dir", "gin_file", "gin_bindings")
        )
        gin.clear_config()
        config.load(files, bindings)
        training.Experiment(Path(*run_dirs)).run()
        return mock.Mock(wait=lambda: 0)

    with mock.patch.object(subprocess, "Popen", run):
        yield


def run_in_bash(block, line, folder):
    """Runs a command that is no program of this repository."""
    command = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert not done.returncode, f"{block}\n{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def run_python(group, folder):
    """Runs Python blocks as one program, in this process; line numbers are those of the page."""
    script, end = "", 1
    for block in group:
        script += "\n" * (block.line - end) + block.text
        end = block.line + block.text.count("\n")
    path = folder / f"{group[0].page.stem}_{group[0].line}.py"
    path.write_text(script)
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.slow
@pytest.mark.usefixtures("own_registrations", "characters_drawn_once")
@pytest.mark.parametrize("page", pages_to_run(), ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch, request):
    if not compat.KERAS_3 and page != README and "ALL_PAGES" not in os.environ:
        pytest.skip("the pages name .venv, the default stack; ALL_PAGES=1 runs them here too")
    if page != README and "figures" not in python_of(page):
        request.getfixturevalue("without_figures")
    checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / ".venv" / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("CCPDML_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # Of processes that a program starts.
    monkeypatch.syspath_prepend(tmp_path)  # As a script of the reader would find `mine`.
    kinds = itertools.groupby(to_run(page), lambda block: (block.language, file_of(block)))
    for (language, name), group in kinds:
        group = list(group)
        if name:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("".join(block.text for block in group))
            continue
        if language == "python" and page != README:  # The test below runs that.
            run_python(group, tmp_path)
        for block in group:
            if language == "sh":
                run_commands(block, tmp_path)


@pytest.mark.smoke
def test_the_python_of_the_readme_runs_in_a_process_of_its_own(tmp_path):
    script = tmp_path / "readme.py"
    script.write_text(python_of(README) + "\nassert embeddings.shape == (len(digits.test), 16)\n")
    subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path)


def file_of(block):
    """The name of the file that a block is: all of gin, modules among those of Python; or None."""
    named = re.match(r"# (\w+/\w+\.(gin|py))\b", block.text)
    if block.language == "gin":
        assert named, f"{block}: a gin block begins with the name of its file, `# gin/name.gin`"
    return named[1] if named else None


@each_page
def test_what_does_not_run_has_a_reason(page):
    for block in to_run(page):
        assert not re.search("pip3? install|venv ", block.text), f"{block} changes installations"
    for block in documents.blocks(page):
        assert block.language in SHOWN | {"python", "sh", "gin"}, block
        if block.language in SHOWN:
            assert not block.not_run, f"{block} is not run anyway"
        if block.run_by:
            test = (ROOT / block.run_by).read_text()
            assert page.name in test, f"{block}: {block.run_by} does not read {page.name}"


@each_page
def test_code_is_fenced(page):
    # Between blank lines, four spaces make code of a paragraph, which nobody would run.
    assert not re.search(r"\n\n    (?! *[-*\d])", documents.prose(page)), page


@functools.cache
def flags_of(program):
    text = (ROOT / program).read_text()
    names = re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', text)
    negated = re.findall(r'flags\.DEFINE_bool\(\s*"(\w+)"', text)
    return {*names, *(f"no{name}" for name in negated), "help"}


@each_page
def test_commands_name_programs_flags_and_gin_files_that_exist(page):
    written = {file_of(b) for b in documents.blocks(page) if b.language == "gin"}
    for words in documents.commands(page):
        (start,) = [i for i, word in enumerate(words) if "python" in word]
        program, *rest = words[start + 1 :]
        assert (ROOT / program).is_file(), words
        for flag, value in re.findall(r"^--(\w+)(?:=(.*))?$", "\n".join(rest), re.MULTILINE):
            assert flag in flags_of(program), words
            if flag == "gin_file" and "<" not in value:
                assert value in written or config.find(value), words


@each_page
def test_runs_that_are_only_shown_have_a_valid_configuration(page):
    for words in documents.commands(page, shown_only=True):
        values = [word.partition("=")[::2] for word in words]
        files = [value for flag, value in values if flag == "--gin_file"]
        if files and "<" not in "".join(files):
            gin.clear_config()
            bindings = [value for flag, value in values if flag == "--gin_bindings"]
            config.load(files, bindings)


@each_page
def test_links_lead_somewhere(page):
    for path, anchor in documents.links(page):
        assert path.exists(), path
        if anchor:
            assert anchor in documents.anchors(path), f"{path}#{anchor}"


def test_every_page_is_in_the_index_and_leads_back_to_it():
    index = ROOT / "docs" / "README.md"
    listed = {path for path, _ in documents.links(index)}
    for page in (ROOT / "docs").glob("*.md"):
        assert page == index or page in listed, page
        assert page == index or index in {path for path, _ in documents.links(page)}, page
    assert index in {path for path, _ in documents.links(ROOT / "README.md")}


@each_page
def test_arguments_named_in_the_text_exist(page):
    assert training  # Its names are known to gin now.
    for code in documents.inline_code(page):
        named = re.match(r"((?:data\.load)|\w+)\.(\w+)(?: ?=.*)?$", code)
        known = named and gin.config._REGISTRY.matching_selectors(named[1])
        if known:
            wrapped = gin.config._REGISTRY.get_match(named[1]).wrapped
            assert known_of(wrapped, named[2]), f"{page.name}: {code}"


def known_of(wrapped, name):
    function = wrapped.__init__ if inspect.isclass(wrapped) else wrapped
    known = set(inspect.signature(function).parameters)
    if wrapped.__name__ == "load":
        known |= {
            option
            for read in loading.READERS.values()
            for option in inspect.signature(read).parameters
        }
    return name in known or hasattr(wrapped, name)


def test_every_make_target_named_is_there():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        named = re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.MULTILINE)
        assert set(named) <= set(targets), page


def test_the_reference_is_what_the_code_says():
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
    assert made["PAGE"].read_text() == made["text"](), "run `python docs/make_reference.py`"
