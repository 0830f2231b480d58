"""Which room imports which, as the README draws it."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ccpdml"
EVERYWHERE = {"bounds", "compat", "files", "__version__"}
BELOW = {
    "cluster": set(),
    "ops": set(),
    "data": set(),
    "metrics": set(),
    "layers": {"ops"},
    "losses": {"cluster", "ops", "layers"},
    "models": {"ops", "layers"},
    "reports": {"metrics"},
    "serving": {"ops", "models", "data", "metrics", "reports"},
    "training": {
        *("cluster", "ops", "layers", "losses", "models", "data", "metrics", "reports", "serving"),
    },
    "runs": {
        *("cluster", "ops", "layers", "losses", "models", "data", "metrics", "reports", "serving"),
        *("training", "config"),
    },
}


def rooms_imported(path):
    """The rooms that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = f"{name}.".partition(".")
            if package == "ccpdml":
                yield rest.split(".")[0]


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_rooms_below_it(room):
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        assert set(rooms_imported(path)) <= BELOW[room] | {
            room,
            *EVERYWHERE,
        }, path


def test_every_room_is_in_the_readme():
    drawing = (PACKAGE.parent / "README.md").read_text().split("## How the rooms relate")[1]
    rooms = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    assert len(rooms) >= 10
    for room in rooms:
        assert f"  {room}/" in drawing.split("```")[1], room


def test_the_search_knows_nothing_of_the_metrics_that_are_made_of_it():
    for path in (PACKAGE / "metrics" / "knn").glob("*.py"):
        imports = re.findall(r"^from (\S+) import", path.read_text(encoding="utf-8"), re.MULTILINE)
        ours = [module for module in imports if module.startswith("ccpdml")]
        assert all(module.startswith("ccpdml.metrics.knn") for module in ours), path


def test_only_compat_asks_which_keras_runs():
    asks = re.compile(
        r"KERAS_3|keras\.(__version__|version)\b|tf\.__version__ *[<>=.\[]|tf_keras\b"
    )
    asking = {p.name for p in PACKAGE.rglob("*.py") if asks.search(p.read_text(encoding="utf-8"))}
    assert asking == {"compat.py", "keras_files.py"}  # The latter reads names of packages.


def test_training_knows_its_callbacks_only_at_its_door():
    for path in (PACKAGE / "training").glob("*.py"):
        if path.name != "__init__.py":
            assert "training.callbacks" not in path.read_text(encoding="utf-8"), path
