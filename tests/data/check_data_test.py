import re
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from ccpdml.data import doctor, loading
from tests import forks, programs
from tests.data import miniatures


def check(**values):
    """What the command leaves with: 0, 1 or a message."""
    with programs.imported("check_data.py") as program:
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(**values), pytest.raises(SystemExit) as caught:
            program["main"](["check_data.py"])
    return caught.value.code


def test_command_runs_from_the_shell(tmp_path):
    root = miniatures.sop(tmp_path)
    command = [sys.executable, "experiments/check_data.py", "--dataset=sop", f"--root={root}"]
    process = forks.Program(command)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1, printed
    assert "PROBLEM count: test holds 20 images of 4 classes, published are 60502" in printed


def test_command_reports_a_whole_data_set_with_its_licence(tmp_path, capsys):
    root = str(miniatures.inshop(tmp_path))
    assert check(dataset="inshop", root=root, verify_counts=False) == 0
    report = capsys.readouterr().out
    assert "non-commercial research only" in report
    assert "layout: list in Eval/list_eval_partition.txt" in report
    assert "gallery: 12 images of 4 classes" in report
    assert "no problem found" in report


def test_command_fails_on_problems_and_names_them(tmp_path, capsys):
    root = str(miniatures.inshop(tmp_path))
    path = loading.read("inshop", root).gallery.paths[0]
    with open(path, "wb"):
        pass
    assert check(dataset="inshop", root=root) == 1
    report = capsys.readouterr().out
    assert f"PROBLEM corrupt: {path}: the file is empty" in report
    assert "PROBLEM count: gallery holds 12 images of 4 classes" in report


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "birds"}, "ERROR: `name` must be one of"),
        ({"dataset": "cub"}, "ERROR: CUB-200-2011.* was not found"),
        ({"dataset": "sop", "download": True}, "ERROR: 'sop' cannot be downloaded.*To get it"),
    ],
)
def test_command_refuses_what_it_cannot_do(values, message, tmp_path):
    assert re.search(message, check(root=str(tmp_path), **values))


def test_command_takes_the_columns_of_a_table(tmp_path, capsys):
    root = miniatures.csv_of_classes(tmp_path)
    (root / "images.csv").write_text(
        "path,tags,split\n"
        + "".join(f"photos/{n}/{n}_0.jpg,a|b,{('train', 'test')[n % 2]}\n" for n in range(4))
    )
    values = {"dataset": "csv", "root": str(root), "label_column": "tags"}
    assert check(**values, label_separator="|", closed_set=True) == 0
    assert "test: 2 images of 2 classes" in capsys.readouterr().out
    refused = check(dataset="inshop", root=str(miniatures.inshop(tmp_path)), category_column="a")
    assert "'inshop' has no options of its own. Received: category_column" in refused


@pytest.mark.parametrize("key", miniatures.MINIATURES)
def test_every_layout_passes_the_check(key, tmp_path):
    name, make = miniatures.MINIATURES[key]
    source = loading.read(name, make(tmp_path))
    opened = []
    report = doctor.examine(source, verify_counts=False, on_progress=opened.append)
    assert report.problems == ()
    assert sum(opened) == sum(len(part) for part in source.parts.values())
