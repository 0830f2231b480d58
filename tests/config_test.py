"""Gin files: every one can be read, and nothing in them is silently without effect."""

import re
import sys
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


OF_PHOTOGRAPHS = [
    path for path in RUNS if path.stem.startswith(("cub", "cars", "sop", "inshop", "folder"))
]
BACKBONES = sorted((GIN / "backbones").glob("*.gin"))
PRETRAINED = [path for path in BACKBONES if not path.stem.startswith("small")]
LEARNING_RATE = "tf.keras.optimizers.Adam.learning_rate"
OF_HUB = [path for path in PRETRAINED if "from_preset" in path.read_text(encoding="utf-8")]
GOES_WITH_A_BACKBONE = (
    LEARNING_RATE,
    "build_encoder.backbone",
    "build_encoder.freeze_bn",
    "RandomResizedCrop.size",
    "RandomResizedCrop.area",
    "CenterCrop.size",
    "CenterCrop.short_side",
)


def backbone_settings(files):
    """What the last backbone file must settle: values by name, and the preprocessing."""
    gin.clear_config()
    config.load(files)
    settings = {name: str(gin.query_parameter(name)) for name in GOES_WITH_A_BACKBONE}
    return settings | {"preprocess": "train.preprocess" in gin.config_str()}


@pytest.mark.parametrize("path", OF_PHOTOGRAPHS, ids=lambda path: path.stem)
def test_the_small_backbone_can_follow_any_run_file_of_photographs(path):
    settings = backbone_settings([path, GIN / "backbones" / "small.gin"])
    assert float(settings[LEARNING_RATE]) == 1e-3
    assert settings["build_encoder.freeze_bn"] == "False"
    assert int(settings["RandomResizedCrop.size"]) == int(settings["CenterCrop.size"]) == 64


@pytest.mark.parametrize("path", BACKBONES, ids=lambda path: path.stem)
def test_a_backbone_file_sets_all_that_goes_with_it_whatever_was_before(path):
    # Those of KerasHub bind a preset, which is refused where nothing uses it.
    others = [each for each in BACKBONES if path in OF_HUB or each not in OF_HUB]
    before = [[GIN / "folder_ms.gin"], [GIN / "sop_ms.gin"], [GIN / "cub_c2.gin", *others]]
    first, *others = [backbone_settings([*files, path]) for files in before]
    assert all(settings == first for settings in others)
    name = "small_cnn" if path.stem == "small" else path.stem
    name = "from_preset" if path in OF_HUB else name
    assert first["build_encoder.backbone"] == f"@{name}"
    assert not first["preprocess"]  # Each network knows what its images are to be.


@pytest.mark.parametrize("path", PRETRAINED, ids=lambda path: path.stem)
def test_a_pretrained_backbone_after_the_folder_file_has_its_own_views_and_rate(path):
    settings = backbone_settings([GIN / "folder_ms.gin", path])
    assert float(settings[LEARNING_RATE]) == 1e-5
    assert settings["CenterCrop.size"] == ("224" if path in OF_HUB else "227")
    assert settings["build_encoder.freeze_bn"] == "True"


@pytest.mark.parametrize("name", ["digits_ms.gin", "gin/digits_ms.gin"])
def test_run_files_of_the_library_are_found_anywhere_and_come_last(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config.find(name).samefile(DIGITS)
    config.load([name])
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.touch()
    assert config.find(name).samefile(mine)
    with pytest.raises(config.ConfigError, match=r"no gin file none\.gin, neither from "):
        config.find("none.gin")


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


@pytest.mark.parametrize(
    ("binding", "name"),
    [
        ("train.steps = 1e400", "train.steps"),
        ("train.steps = 'ten'", "train.steps"),
        ("train.steps = 1.5", "train.steps"),
        ("train.steps_per_loop = -5", "train.steps_per_loop"),
        ("train.evaluate_every = 2.0", "train.evaluate_every"),
        ("train.recall_at = 5", "train.recall_at"),
        ("train.early_stopping = None", "train.early_stopping"),
        ("train.early_stopping = @EarlyStopping()", "train.early_stopping"),
        ("train.deterministic = 'False'", "train.deterministic"),
        ("train.tensorboard = 'no'", "train.tensorboard"),
        ("train.select_on = 'train'", "train.select_on"),
        ("tf.keras.optimizers.Adam.learning_rate = -1e-3", "Adam.learning_rate"),
        ("tf.keras.optimizers.Adam.learning_rate = @TripletLoss()", "Adam.learning_rate"),
        ("tf.keras.optimizers.Adam.beta_2 = 1.0", "Adam.beta_2"),
        ("MetricLearner.clip_norm = 0.0", "MetricLearner.clip_norm"),
        ("MultiSimilarityLoss.base = 1e9", "MultiSimilarityLoss.base"),
        ("MultiSimilarityLoss.alpha = %ALPHA\nALPHA = -2.0", "MultiSimilarityLoss.alpha"),
        ("small_cnn.filters = ()", "small_cnn.filters"),
        ("build_encoder.embedding_size = 1", "build_encoder.embedding_size"),
        ("data.load.num_folds = 4.0", "data.load.num_folds"),
        ("ProxyReinitialization.patience = 1.5", "ProxyReinitialization.patience"),
        ("ProxyReinitialization.max_instances = 0", "ProxyReinitialization.max_instances"),
        ("LOSS = @TripletLoss", "ChanceConstrainedLoss.loss"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line(binding, name):
    with pytest.raises(config.ConfigError, match=rf"^`\S*{name}` must be .* Received: ") as caught:
        config.load([DIGITS], [binding])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("train.steps = %A\nA = %B\nB = %A", r"The macro %[AB] is set by itself"),
        ("train.steps = 99999999999999999999", r"`train.steps` must be an integer"),
        (f"train.steps = 1{'0' * 400}", r"`train.steps` must be an integer .*0\.\.\.$"),
        ("train.seed = 4294967296", r"`train.seed` must be an integer in 0\.\.4294967295"),
        ("MetricLearner.clip = 1", r"`MetricLearner.clip` cannot be bound: MetricLearner has no"),
        ("train.steps = @small_cnn()", r"Missing .*small_cnn.input_shape"),
        ("train.learner = @MetricLearner()", r"MetricLearner.encoder.*leave the \(\) out where"),
        ("train.steps = %A\nA = %B\nB = 0", r"Received: steps=0, from %A$"),
        ("small_cnn.filters = (8, %A)\nA = 0", r"Received: filters=\(8, %A\)$"),
        ("train.stesp = 5", r"'train.stesp = 5': Configurable 'train' .* 'stesp'\.$"),
        ("include 'digits_ms.gin'\ninclude 'none.gin'", r"Unable to open file"),
    ],
)
def test_one_line_says_what_is_wrong_with_a_binding(binding, message):
    with pytest.raises(config.ConfigError, match=message) as caught:
        config.load([DIGITS], [binding])
    assert "\n" not in str(caught.value).removeprefix(f"The binding '{binding}'")


def test_a_file_that_includes_itself_is_named(tmp_path):
    path = tmp_path / "own.gin"
    path.write_text("include 'own.gin'\n")
    with pytest.raises(config.ConfigError, match=r"own\.gin: an include leads back"):
        config.load([path])


def test_a_line_of_a_file_is_named_in_one_line(tmp_path):
    path = tmp_path / "own.gin"
    path.write_text("train.stesp = 5\n")
    with pytest.raises(config.ConfigError, match=r'^.*In file ".*own.gin", line 1'):
        config.load([path])


def test_a_schedule_may_be_a_learning_rate():
    schedule = "tf.keras.optimizers.schedules.CosineDecay"
    bindings = [
        f"tf.keras.optimizers.Adam.learning_rate = @{schedule}()",
        f"{schedule}.initial_learning_rate = 1e-3",
        f"{schedule}.decay_steps = 500",
    ]
    config.load([DIGITS], bindings)


@pytest.mark.parametrize(
    "binding", ["train.steps = (", "train.steps = 'a", "train.steps 5", "train.steps = {", "= 5"]
)
def test_a_binding_that_cannot_be_read_is_quoted(binding):
    with pytest.raises(config.ConfigError, match=re.escape(f"The binding '{binding}': ")):
        config.load([DIGITS], [binding])


def test_a_macro_that_nothing_sets_is_named():
    with pytest.raises(config.ConfigError, match=r"`train.steps` uses %NOPE, which no file"):
        config.load([DIGITS], ["train.steps = %NOPE"])


def test_a_missing_file_is_an_error():
    with pytest.raises(config.ConfigError, match=r"no\.gin"):
        config.load(["no.gin"])


def test_a_binding_overrides_the_files():
    config.load([DIGITS], ["train.steps = 7"])
    assert gin.query_parameter("train.steps") == 7


MODULE = """
import gin

@gin.register
def of_{name}(input_shape, side=3):
    import {name}_later
    return {name}_later.VALUE + side
"""
WHOLE = """
import {module}
train.encoder = @build_encoder
build_encoder.backbone = @of_{module}
of_{module}.side = 5
train.data = @data.load
data.load.name = 'digits'
train.steps = 2
train.evaluate_every = 1
train.criterion = @ProxyAnchorLoss
train.optimizer = @tf.keras.optimizers.Adam
"""


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A path for a gin file, in a folder of the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_files").mkdir()
    return tmp_path / "own_files" / "run.gin"


def write_module(folder, name):
    (folder / f"{name}.py").write_text(MODULE.format(name=name))
    (folder / f"{name}_later.py").write_text("VALUE = 2")


@pytest.mark.parametrize(("up", "name"), [(0, "own_beside"), (1, "own_here")])
def test_a_gin_file_imports_modules_from_here_and_from_beside_it(own_file, up, name):
    before, folder = list(sys.path), own_file.parents[up]
    write_module(folder, name)
    own_file.write_text(WHOLE.format(module=name))
    config.load([own_file])
    assert gin.get_configurable(f"of_{name}")((8, 8, 1)) == 7  # Imports in functions work, too.
    assert f"import {name}" in config.text()
    assert sys.path == [*before, str(folder)]  # Not where nothing came from.


def test_what_is_installed_is_not_hidden_by_a_file_of_its_name(own_file):
    (own_file.parents[1] / "wave.py").write_text("raise RuntimeError('imported')")
    write_module(own_file.parent, "own_third")
    own_file.write_text(f"import wave\n{WHOLE.format(module='own_third')}")
    config.load([own_file])


def test_a_module_that_is_nowhere_is_told_with_where_it_was_looked_for(own_file):
    own_file.write_text("import own_missing\n")
    with pytest.raises(config.ConfigError, match=r"(?s)run\.gin.*own_missing.*installed") as caught:
        config.load([own_file])
    assert str(own_file.parents[1]) in str(caught.value)


def test_an_include_is_a_file_and_none_of_a_package_of_that_name(own_file):
    (own_file.parent / "parts").mkdir()
    own_file.write_text("include 'parts/of_mine.gin'\n")
    with pytest.raises(config.ConfigError, match="Unable to open file: parts/of_mine.gin"):
        config.load([own_file])
    (own_file.parent / "parts" / "of_mine.gin").write_text(DIGITS.read_text())
    (own_file.parents[1] / "gin").symlink_to(GIN)
    config.load([own_file])
    assert gin.query_parameter("load.name") == "digits"
