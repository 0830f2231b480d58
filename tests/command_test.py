"""The console command and the programs it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

import ccpdml_command

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


def test_every_program_is_a_part_of_the_command():
    programs = {path for path in EXPERIMENTS.glob("*.py") if "app.run(main)" in path.read_text()}
    assert {ccpdml_command.path_of(name) for name in ccpdml_command.PROGRAMS} == programs
    assert all(f"  {name} " in ccpdml_command.usage() for name in ccpdml_command.PROGRAMS)


def test_a_program_starts_as_from_its_own_file(monkeypatch, tmp_path, capsys):
    (tmp_path / "beside.py").write_text("WORD = 'found'")
    (tmp_path / "check_data.py").write_text(
        "import sys\nimport beside\nprint(__name__, sys.argv[1:], beside.WORD)"
    )
    monkeypatch.setattr(ccpdml_command, "folder", lambda: tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["ccpdml", "check-data", "--root=x"])
    ccpdml_command.main()
    assert capsys.readouterr().out == "__main__ ['--root=x'] found\n"


@pytest.mark.parametrize("start", ["file", "command"])
def test_what_lies_beside_a_program_hides_no_module_of_the_user(start, tmp_path):
    beside, mine = tmp_path / "experiments", tmp_path / "mine"
    for folder in (beside, mine):
        folder.mkdir()
        (folder / "study.py").write_text(f"WHOSE = {folder.name!r}")
    (beside / "quiet.py").write_text((EXPERIMENTS / "quiet.py").read_text())
    (beside / "run.py").write_text("import quiet\nimport sys\nsys.path.append(sys.argv[1])\n")
    with (beside / "run.py").open("a") as file:
        file.write("import study\nprint(study.WHOSE)")
    by_command = (
        "import ccpdml_command, pathlib, sys\n"
        f"ccpdml_command.folder = lambda: pathlib.Path({str(beside)!r})\n"
        "sys.argv[1:1] = ['run']\nccpdml_command.main()"
    )
    how = {"file": [beside / "run.py"], "command": ["-c", by_command]}[start]
    done = subprocess.run([sys.executable, *how, mine], capture_output=True, text=True)
    assert done.stdout == "mine\n", done.stderr


def test_an_unknown_program_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ccpdml", "rum"])
    with pytest.raises(SystemExit, match=r"^ERROR: .* run, embed, .* Received: rum$"):
        ccpdml_command.main()
