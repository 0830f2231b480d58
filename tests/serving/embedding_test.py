"""Embedding files: the same as in training, whatever stops it."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import data, layers, models, serving
from ccpdml.serving import embedding
from tests import forks, programs
from tests.serving import fixtures


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    fixtures.make_run(folder / "run")
    return serving.load_encoder(folder / "run")


@pytest.fixture
def photos(tmp_path):
    return fixtures.make_photos(tmp_path / "photos")


NORMALIZATIONS = {
    layers.LipschitzNormalization: lambda x, length: x / np.maximum(length, 1),
    layers.UnitNormalization: lambda x, length: x / length,
}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_files_are_served_as_they_were_trained(tmp_path, photos, normalization):
    view = data.views.CenterCrop(16, 20)
    trained = fixtures.make_run(tmp_path / "run", normalization(), view)
    images = serving.find_images(photos)
    done = serving.embed_images(
        serving.load_encoder(tmp_path / "run"), images, tmp_path / "out.npz", progress=False
    )
    found = serving.read_embeddings(done.path)
    # The way of training: the input pipeline, the device's preprocessing, the criterion's layer.
    image_set = data.ImageSet(np.array(images.paths), np.zeros(12, int), ["any"])
    (pixels,) = data.pipelines.image_batches(image_set, view, 12)
    raw = trained(models.scale_to_unit_range(pixels)).numpy()
    length = np.linalg.norm(raw, axis=1, keepdims=True)
    assert length.min() < 1 < length.max()
    expected = NORMALIZATIONS[normalization](raw, length)
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-5)
    assert found.paths.tolist() == sorted(str(p) for p in photos.rglob("*.*"))
    assert found.classes.tolist() == [name for name in fixtures.CLASSES for _ in range(4)]
    assert found.info["encoder"]["normalization"] == normalization.__name__
    assert found.info["encoder"]["view"]["short_side"] == 20
    assert found.info["encoder"]["preprocess"].endswith("scale_to_unit_range")


def test_an_encoder_of_pixels_in_memory_is_served_the_same_pixels_from_files(tmp_path):
    fixtures.make_run(tmp_path / "run", view=data.views.Plain(), channels=1)
    encoder = serving.load_encoder(tmp_path / "run")
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    image = encoder.view.of_bytes((tmp_path / "grey.png").read_bytes())
    np.testing.assert_array_equal(image, pixels)


def embed(encoder, photos, output, **options):
    options = {"batch_size": 3, "shard_size": 4, "progress": False} | options
    return serving.embed_images(encoder, serving.find_images(photos), output, **options)


def test_batches_and_parts_change_nothing(encoder, photos, tmp_path):
    embed(encoder, photos, tmp_path / "a.npz", shard_size=99)
    embed(encoder, photos, tmp_path / "b.npz", batch_size=1)
    whole = serving.read_embeddings(tmp_path / "a.npz")
    parts = serving.read_embeddings(tmp_path / "b.npz")
    np.testing.assert_allclose(parts.embeddings, whole.embeddings, atol=1e-6)
    assert parts.paths.tolist() == whole.paths.tolist()


def test_after_a_failure_it_goes_on_and_ends_with_the_same_bytes(
    encoder, photos, tmp_path, monkeypatch
):
    expected = embed(encoder, photos, tmp_path / "never_stopped.npz").path.read_bytes()
    work, parts = embedding._embed_shard, tmp_path / "out.npz.parts"

    def fail_at_the_third(*arguments):
        if len(list(parts.glob("*.npz"))) == 2:
            raise KeyboardInterrupt
        return work(*arguments)

    monkeypatch.setattr(embedding, "_embed_shard", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        embed(encoder, photos, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()
    monkeypatch.undo()
    done = embed(encoder, photos, tmp_path / "out.npz")
    assert (done.num_new, done.num_kept) == (4, 8)  # Of three parts of four images the last.
    assert done.path.read_bytes() == expected
    assert not parts.exists()


def test_after_a_failure_images_that_have_changed_since_are_embedded_again(
    encoder, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(embedding, "_write", None)  # Stopped right before the end.
    with pytest.raises(TypeError):
        embed(encoder, photos, tmp_path / "out.npz")
    monkeypatch.undo()
    Image.new("RGB", (20, 20), "red").save(photos / "ash" / "1.png")
    done = embed(encoder, photos, tmp_path / "out.npz")
    assert (done.num_new, done.num_kept) == (1, 11)
    expected = embed(encoder, photos, tmp_path / "anew.npz").path.read_bytes()
    assert done.path.read_bytes() == expected


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(tmp_path):
    fixtures.make_run(tmp_path / "run")
    photos = fixtures.make_photos(tmp_path / "photos", per_class=12)
    program = tmp_path / "embed.py"
    program.write_text(
        "import sys; from ccpdml import serving\n"
        "run, photos, *outputs = sys.argv[1:]\n"
        "encoder, images = serving.load_encoder(run), serving.find_images(photos)\n"
        "for output in outputs:\n"
        "    serving.embed_images(encoder, images, output, shard_size=1, progress=False)\n"
    )

    def start(*outputs):
        return forks.Program([sys.executable, program, tmp_path / "run", photos, *outputs])

    output, never_stopped = tmp_path / "out.npz", tmp_path / "never_stopped.npz"
    process = start(output)
    while process.poll() is None and len(list(tmp_path.glob("out.npz.parts/*.npz"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    assert len(list(tmp_path.glob("out.npz.parts/*.npz"))) >= 3
    assert start(output, never_stopped).wait(timeout=120) == 0
    assert output.read_bytes() == never_stopped.read_bytes()


def test_the_same_command_again_does_nothing(encoder, photos, tmp_path):
    before = embed(encoder, photos, tmp_path / "out.npz").path.stat()
    done = embed(encoder, photos, tmp_path / "out.npz")
    assert done.path.stat() == before
    assert str(done) == "0 embedded now, 12 taken over from before"


def test_only_what_is_new_is_embedded_and_the_bytes_are_those_of_all_anew(
    encoder, photos, tmp_path
):
    embed(encoder, photos, tmp_path / "out.npz")
    Image.new("RGB", (20, 20), "red").save(photos / "ash" / "new.png")
    Image.new("RGB", (20, 20), "blue").save(photos / "birch" / "1.png")  # It was another picture.
    (photos / "birch" / "2.bmp").rename(photos / "cedar" / "moved.bmp")
    (photos / "cedar" / "0.jpg").unlink()
    done = embed(encoder, photos, tmp_path / "out.npz")
    assert (done.num_new, done.num_kept, done.num_dropped) == (2, 10, 1)
    anew = embed(encoder, photos, tmp_path / "anew.npz", shard_size=99)
    assert anew.num_new == 12
    assert done.path.read_bytes() == anew.path.read_bytes()
    assert [path.name for path in tmp_path.glob("*.parts")] == []


def test_photos_that_were_moved_are_not_embedded_again(encoder, photos, tmp_path):
    embed(encoder, photos, tmp_path / "out.npz")
    done = embed(encoder, photos.rename(tmp_path / "moved"), tmp_path / "out.npz")
    assert (done.num_new, done.num_kept, done.num_dropped) == (0, 12, 0)
    paths = serving.read_embeddings(done.path).paths.tolist()
    assert all("/moved/" in path for path in paths)


def test_a_file_of_an_earlier_version_which_has_no_digests_is_embedded_again(
    encoder, photos, tmp_path
):
    done = embed(encoder, photos, tmp_path / "out.npz")
    expected = done.path.read_bytes()
    with np.load(done.path) as arrays:
        old = {name: arrays[name] for name in ("embeddings", "paths", "classes", "info")}
    np.savez(done.path, **old)
    assert embed(encoder, photos, tmp_path / "out.npz").num_new == 12
    assert done.path.read_bytes() == expected


def test_what_others_left_is_not_mixed_in(encoder, photos, tmp_path):
    embed(encoder, photos / "ash", tmp_path / "out.npz")
    with pytest.raises(ValueError, match=r"out.npz is there already and holds none of these"):
        embed(encoder, photos / "birch", tmp_path / "out.npz")
    np.savez(tmp_path / "own.npz", vectors=np.eye(3))
    with pytest.raises(ValueError, match=r"own.npz is there already. Choose another output"):
        embed(encoder, photos, tmp_path / "own.npz")
    fixtures.make_run(tmp_path / "other", seed=1)
    other = serving.load_encoder(tmp_path / "other")
    with pytest.raises(ValueError, match="another encoder"):
        embed(other, photos / "ash", tmp_path / "out.npz")


@pytest.mark.parametrize("name", ["mine.txt", "mine.npz", "parts.npz"])
def test_a_folder_of_somebody_else_is_not_taken_for_one_of_parts(encoder, photos, tmp_path, name):
    mine = tmp_path / "new.npz.parts" / name
    mine.parent.mkdir()
    if name == "parts.npz":
        np.savez(mine, digests=["a"], embeddings=[[1.0]], fingerprint="another encoder")
    else:
        mine.write_text("text")
    before = mine.read_bytes()
    with pytest.raises(FileExistsError, match=rf"new.npz.parts is there already, and {name}"):
        embed(encoder, photos, tmp_path / "new.npz")
    assert mine.read_bytes() == before


def test_a_folder_that_is_called_like_the_output_is_told_at_once(encoder, photos, tmp_path):
    (tmp_path / "new.npz").mkdir()
    with pytest.raises(FileExistsError, match="new.npz is there already, a folder"):
        embed(encoder, photos, tmp_path / "new.npz")
    assert not (tmp_path / "new.npz.parts").exists()


def test_two_processes_with_one_output_do_not_mix_up_their_parts(
    encoder, photos, tmp_path, monkeypatch
):
    expected = embed(encoder, photos, tmp_path / "alone.npz").path.read_bytes()
    work, output = embedding._write, tmp_path / "out.npz"

    def let_another_one_be_quicker(*arguments):
        monkeypatch.undo()
        monkeypatch.setattr(os, "getpid", lambda: 1)
        embed(encoder, photos, output, shard_size=5)
        work(*arguments)

    monkeypatch.setattr(embedding, "_write", let_another_one_be_quicker)
    # The other one took over and removed what this one has made.
    with pytest.raises(FileNotFoundError, match=r"out.npz.parts"):
        embed(encoder, photos, output)
    assert output.read_bytes() == expected
    assert embed(encoder, photos, output).num_new == 0


def damage(path):
    path.write_bytes(path.read_bytes()[:60])


def test_a_damaged_file_is_named(encoder, photos, tmp_path):
    damage(photos / "birch" / "1.png")
    with pytest.raises(serving.UnreadableImageError, match=r"birch/1.png cannot be read"):
        embed(encoder, photos, tmp_path / "out.npz")
    (photos / "birch" / "1.png").write_bytes(b"")
    with pytest.raises(serving.UnreadableImageError, match="the file is empty"):
        embed(encoder, photos, tmp_path / "new.npz", shard_size=99)
    assert not (tmp_path / "new.npz.parts").exists()  # Nothing was done before it.


def test_damaged_files_are_skipped_and_listed(encoder, photos, tmp_path):
    whole = serving.read_embeddings(embed(encoder, photos, tmp_path / "whole.npz").path)
    bad = [photos / "ash" / "0.jpg", photos / "birch" / "3.jpg", photos / "cedar" / "3.jpg"]
    for path in bad:
        damage(path)
    done = embed(encoder, photos, tmp_path / "out.npz", skip_unreadable=True)
    found = serving.read_embeddings(done.path)
    kept = ~np.isin(whole.paths, [str(path) for path in bad])
    assert found.paths.tolist() == whole.paths[kept].tolist()
    assert found.classes.tolist() == whole.classes[kept].tolist()
    np.testing.assert_allclose(found.embeddings, whole.embeddings[kept], atol=1e-6)
    assert list(done.skipped) == [str(path) for path in bad]
    assert all(len(why) > 5 for why in done.skipped.values())


def test_where_nothing_can_be_read_there_is_no_file(encoder, photos, tmp_path):
    for path in photos.rglob("*.*"):
        damage(path)
    with pytest.raises(ValueError, match="None of the 12 images can be read"):
        embed(encoder, photos, tmp_path / "out.npz", skip_unreadable=True)
    assert not (tmp_path / "out.npz").exists()


def test_a_disk_that_goes_away_is_not_skipped(encoder, photos, tmp_path):
    images = serving.find_images(photos)
    (photos / "ash" / "2.bmp").unlink()
    with pytest.raises(FileNotFoundError, match=r"2\.bmp"):
        serving.embed_images(
            encoder, images, tmp_path / "out.npz", skip_unreadable=True, progress=False
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": {"name": "ccpdml.data.views:CenterCrop", "size": 9}}, "view.*must give"),
        ({"preprocess": "no_module_of_that:name"}, "Expected a registered preprocessing"),
        ({"preprocess": "unknown"}, "preprocess missing or unknown"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path, change, message):
    fixtures.make_run(tmp_path / "run")
    path = tmp_path / "run" / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        serving.load_encoder(tmp_path / "run")


def test_a_description_may_begin_as_editors_of_windows_begin_it(tmp_path):
    fixtures.make_run(tmp_path / "run")
    path = tmp_path / "run" / "encoder.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert serving.load_encoder(tmp_path / "run").embedding_size == 6


def test_a_model_that_is_larger_than_the_memory_is_told_in_one_line(tmp_path, monkeypatch):
    fixtures.make_run(tmp_path / "run")

    def load_model(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(tf.keras.models, "load_model", load_model)
    with pytest.raises(ValueError, match=r"encoder.keras cannot be read .*OOM"):
        serving.load_encoder(tmp_path / "run")


def test_an_encoder_without_description_or_file_is_refused(tmp_path):
    fixtures.make_run(tmp_path / "run")
    (tmp_path / "run" / "encoder.json").unlink()
    with pytest.raises(FileNotFoundError, match="encoder.json.*write it"):
        serving.load_encoder(tmp_path / "run" / "encoder.keras")
    with pytest.raises(FileNotFoundError, match="Expected the directory of a finished run"):
        serving.load_encoder(tmp_path)
    (tmp_path / "encoder.keras").write_bytes(b"no zip")
    fixtures.make_run(tmp_path / "other")
    (tmp_path / "encoder.json").write_text((tmp_path / "other" / "encoder.json").read_text())
    with pytest.raises(ValueError, match="expected a Keras model"):
        serving.load_encoder(tmp_path)


def test_functions_without_a_name_are_described_as_unknown():
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 3)), tf.keras.layers.Flatten()])
    view, normalization = data.views.RandomShift(1), layers.LipschitzNormalization()
    described = serving.description.describe(model, view, lambda x: x, normalization)
    assert described["view"] == described["preprocess"] == "unknown"


def test_the_command_tells_a_damaged_file_in_one_line(encoder, photos, tmp_path):
    damage(photos / "ash" / "0.jpg")
    flags = [
        f"--encoder={encoder.info['path']}",
        f"--images={photos}",
        f"--output={tmp_path / 'o.npz'}",
    ]
    with pytest.raises(SystemExit, match=r"^ERROR: .*ash/0.jpg cannot be read.*skip_unreadable"):
        programs.run("embed.py", *flags)


def test_the_command_says_for_people_what_it_did(encoder, photos, tmp_path, capsys):
    output = tmp_path / "o.npz"
    flags = [f"--encoder={encoder.info['path']}", f"--images={photos}", f"--output={output}"]
    programs.run("embed.py", *flags)
    assert capsys.readouterr().out == (
        f"{output}: 12 images of 3 classes, 6 numbers each, normalized as in training "
        "(LipschitzNormalization). 12 embedded now.\n"
    )
    damage(photos / "ash" / "0.jpg")
    programs.run("embed.py", *flags, "--skip_unreadable")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"Left out: {photos / 'ash' / '0.jpg'}: ")
    assert second.endswith(". 0 embedded now, 11 taken over from before, 1 left out (unreadable).")


def test_lists_are_read_and_an_output_of_another_kind_is_refused(encoder, photos, tmp_path, capsys):
    names = [f"{path.relative_to(tmp_path)}\n" for path in sorted(photos.rglob("*.png"))]
    (tmp_path / "list.txt").write_text("".join(names))
    flags = [f"--encoder={encoder.info['path']}", f"--images={tmp_path / 'list.txt'}"]
    programs.run("embed.py", *flags, f"--output={tmp_path / 'o.npz'}")
    assert "o.npz: 3 images, 6 numbers each" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"`output` must end in .npz.*o.csv"):
        programs.run("embed.py", *flags, f"--output={tmp_path / 'o.csv'}")


def test_an_encoder_of_before_images_were_read_otherwise_is_another(tmp_path, encoder, monkeypatch):
    before = encoder.info["fingerprint"]
    again = serving.ImageEncoder(encoder.model, encoder.view, encoder.preprocess, encoder.info)
    assert again.info["fingerprint"] == before
    monkeypatch.setattr(data.decoding, "VERSION", 1)
    other = serving.ImageEncoder(encoder.model, encoder.view, encoder.preprocess, encoder.info)
    assert other.info["fingerprint"] != before


def test_the_home_folder_may_be_given_by_its_sign(encoder, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(photos)
    fixtures.make_run(tmp_path / "run")
    images = serving.find_images("~/photos/ash")
    assert images.paths[0].startswith(str(tmp_path))
    done = serving.embed_images(serving.load_encoder("~/run"), images, "~/out.npz", progress=False)
    assert done.path == tmp_path / "out.npz"
    assert len(serving.read_embeddings("~/out.npz")) == 4
