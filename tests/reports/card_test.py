"""Model cards from made-up run directories."""

import json
import re

import pytest

from ccpdml.reports import card
from tests import programs
from tests.reports import page_test

ENCODER = {
    "input_shape": [8, 8, 3],
    "embedding_size": 16,
    "normalization": "LipschitzNormalization",
}


def make_run(directory, about=ENCODER, **results):
    run = page_test.make_run(directory, **results)
    (run / "encoder.json").write_text(json.dumps(about))
    return run


def test_a_card_tells_what_a_reader_must_know(tmp_path):
    alarm = "Worse than not training: ..."
    run = make_run(tmp_path / "birds", untrained=page_test.UNTRAINED, alarms=[alarm])
    told = card.write(run, license="mit").read_text()
    for expected in (
        *("Data set: sop.", "| test | 11316 | 60502 |", "chosen on validation classes"),
        *("| test | 75.80 | 50.00 | 48.00 |", "| test, before training | 70.00 | 40.00 | 50.00 |"),
        *("| test, difference | +5.80 | +10.00 | -2.00 |", f"**{alarm}**"),
        *(page_test.UNTRAINED["measured"], card.INTENDED_USE, "Of this encoder: mit."),
        *("began with: unknown", "images of 8 x 8 x 3 to embeddings of 16 numbers"),
    ):
        assert expected in told, expected
    (code,) = re.findall(r"```python\n(.*?)```", told, re.DOTALL)
    assert 'serving.load_encoder("birds")' in code
    assert len(code.splitlines()) == 5


def test_the_head_is_for_programs(tmp_path):
    run = make_run(tmp_path / "birds", dataset='a: "b"', config="")
    before, head, told = card.write(run, place="hf://me/birds").read_text().split("---\n", 2)
    assert before == ""
    assert told.startswith("\n# birds\n")
    assert 'load_encoder("hf://me/birds")' in told
    lines = head.splitlines()
    assert lines[:3] == [
        "library_name: keras",
        "pipeline_tag: image-feature-extraction",
        'license: "unknown"',
    ]
    # A name may be anything: quoted as JSON does it, it is a string of YAML.
    assert '      name: "a: \\"b\\""' in lines
    assert lines[-3:] == ["    - type: map_at_r", '      name: "MAP@R"', "      value: 0.4800"]


def test_a_head_on_features_is_loaded_by_keras(tmp_path):
    run = make_run(tmp_path / "head", about=ENCODER | {"input_shape": [768]})
    told = card.write(run).read_text()
    assert 'load_model("head/encoder.keras")' in told
    assert "What there was before training was not scored." in told
    assert "encoder.json" not in told
    assert "the vectors are features of a network that is not told." in told
    about = ENCODER | {"input_shape": [768], "features_of": "0123abcd"}
    told = card.write(make_run(tmp_path / "known", about=about)).read_text()
    assert "the vectors are features of 0123abcd." in told


def test_a_reader_learns_that_kerashub_is_needed(tmp_path):
    versions = {"keras": "3.15.1"}
    plain = make_run(tmp_path / "plain", versions=versions)
    of_hub = make_run(tmp_path / "of_hub", versions=versions | {"keras_hub": "0.32.0"})
    assert "KerasHub" not in card.write(plain).read_text()
    assert "pip install keras-hub" in card.write(of_hub).read_text()


def test_what_cannot_have_a_card_is_refused(tmp_path):
    run = make_run(tmp_path / "one")
    card.write(run)
    with pytest.raises(FileExistsError, match="README.md"):
        card.write(run)
    card.write(run, overwrite=True)
    (run / "encoder.json").write_text("[]")
    with pytest.raises(ValueError, match=r"encoder.json: expected the description"):
        card.write(run, overwrite=True)
    with pytest.raises(ValueError, match="A card is of one encoder"):
        card.write(page_test.make_folds(tmp_path / "folds"))
    with pytest.raises(ValueError, match="finished run"):
        card.write(tmp_path / "none")


def test_the_program_writes_it_and_names_a_wrong_place_first(tmp_path):
    run = make_run(tmp_path / "one")
    flags = [f"--run_dir={run}", "--backbone_license=apache-2.0"]
    code, _ = programs.run_in(tmp_path, "model_card.py", *flags, "--upload=me/one")
    assert "hf://<account>/<name>" in code
    assert not (run / "README.md").exists()
    code, printed = programs.run_in(tmp_path, "model_card.py", *flags)
    assert (code, printed) == (None, f"{run / 'README.md'}\n")
    assert "began with: apache-2.0." in (run / "README.md").read_text()
