"""The console command and the programs it starts."""

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


def test_an_unknown_program_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ccpdml", "rum"])
    with pytest.raises(SystemExit, match=r"^ERROR: .* run, embed, .* Received: rum$"):
        ccpdml_command.main()
