"""One key and one label for each metric."""

from pathlib import Path

import pytest

from ccpdml import metrics
from ccpdml.metrics import names

PACKAGE = Path(__file__).parents[2] / "ccpdml"


def test_scores_are_found_by_the_key_that_logs_and_results_have():
    scores = metrics.retrieval([[0.0], [0.1], [0.3]], [0, 0, 0], recall_at=(1, 2))
    assert [scores[key] for key in names.keys((1, 2))] == [1.0] * 5
    assert scores["map_at_r"] is scores["mean_average_precision_at_r"]
    with pytest.raises(KeyError, match="map_at_k"):
        scores["map_at_k"]


def test_each_has_a_label():
    labels = [names.label(key) for key in names.keys((2, 10))]
    assert labels == ["P@1", "P@R", "MAP@R", "R@2", "R@10"]
    assert names.present({"recall_at_2": 0, "num_queries": 3, "map_at_r": 0}) == [
        "map_at_r",
        "recall_at_2",
    ]


@pytest.mark.parametrize("label", ["P@1", "P@R"])
def test_no_other_module_has_a_list_of_its_own(label):
    lists = [path for path in PACKAGE.rglob("*.py") if f': "{label}"' in path.read_text()]
    assert lists == [PACKAGE / "metrics" / "names.py"]
