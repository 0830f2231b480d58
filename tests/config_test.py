"""Gin files: every one can be read, and nothing in them is silently without effect."""

from pathlib import Path

import gin
import pytest

from ccpdml import config

GIN = Path(__file__).parent.parent / "gin"
RUNS = sorted(GIN.glob("*.gin"))
DIGITS = GIN / "digits_ms.gin"


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_run_file_binds_only_what_it_uses(path):
    config.load([path])


OF_IMAGES = [path for path in RUNS if not path.stem.startswith("features")]


@pytest.mark.parametrize("path", OF_IMAGES, ids=lambda path: path.stem)
def test_the_small_backbone_can_follow_any_run_file_of_images(path):
    config.load([path, GIN / "backbones" / "small.gin"])


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("train.stesp = 5", "stesp"),
        ("TripletLoss.margin = 0.5", "used by nothing"),
        ("TripletLos.margin = 0.5", "TripletLos"),
        ("EPOCHS = 5", "macro EPOCHS"),
        ("train.criterion = @NoSuchLoss", "NoSuchLoss"),
        ("other/MultiSimilarityLoss.alpha = 1", "other/"),
        ("train.steps = ", "Unable to parse"),
    ],
)
def test_a_binding_without_effect_is_an_error(binding, message):
    with pytest.raises(config.ConfigError, match=message):
        config.load([DIGITS], [binding])


def test_a_missing_file_is_an_error():
    with pytest.raises(config.ConfigError, match=r"no\.gin"):
        config.load(["no.gin"])


def test_a_binding_overrides_the_files():
    config.load([DIGITS], ["train.steps = 7"])
    assert gin.query_parameter("train.steps") == 7
