"""The README: its Python runs as it stands, and what it points at exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.smoke
def test_the_python_blocks_run_one_after_the_other(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    script = tmp_path / "readme.py"
    script.write_text(code + "\nassert embeddings.shape == (len(digits.test), 16)\n")
    subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path)


def test_every_file_it_names_is_there():
    named = re.findall(r"\]\(([\w/.]+)\)|--gin_file=(\S+)|python (experiments/\w+\.py)", README)
    for path in filter(None, (path for group in named for path in group)):
        assert (ROOT / path).exists(), path


def test_every_make_target_it_names_is_there():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make (demo|test[\w-]*|lint)", README)) <= set(targets)
