"""Checkpoints: a run that was stopped ends as one that was not."""

import gc
import os
import resource
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, training
from ccpdml.ops import coreset
from tests.training import tiny

NUM_EPOCHS = 8


class Power(tf.keras.callbacks.Callback):
    """Cuts the power at the end of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


class Score(tf.keras.callbacks.Callback):
    """A made-up score that rises and falls."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_map_at_r"] = [0.1, 0.3, 0.2, 0.2, 0.4, 0.3, 0.3, 0.2][epoch]


class Pool:
    """Pools that depend on how many were drawn before."""

    def __init__(self):
        self.num_draws = 0

    def __call__(self):
        self.num_draws += 1
        shape = (tiny.NUM_CLASSES, 6, tiny.DIM)
        return np.random.default_rng(self.num_draws).normal(size=shape).astype("float32")

    def get_state(self):
        return {"num_draws": self.num_draws}

    def set_state(self, state):
        self.num_draws = state["num_draws"]


def run(
    directory,
    stop_after=None,
    steps_per_execution=5,
    last=(),
    num_steps=1000,
    patience=2,
    extra_classes=None,
    **kwargs,
):
    """Trains, or goes on; returns everything that a resumed run must have in common."""
    criterion = losses.ChanceConstrainedLoss(
        losses.ContrastiveLoss(),
        tiny.NUM_CLASSES,
        2,
        extra_classes=extra_classes and extra_classes(),
    )
    model = tiny.learner(criterion, prox_weight=0.1, steps_per_execution=steps_per_execution)
    outer = training.ProxyReinitialization(Pool(), patience=patience, **kwargs)
    stopping = training.EarlyStopping(patience=100)
    history = training.History(directory / "history.jsonl")
    record = training.ProxyRecord(outer, directory / "proxies")
    checkpoint = training.Checkpoint(directory / "checkpoints", [outer, record, stopping])
    epochs, steps = checkpoint.restore(model)
    callbacks = [Score(), stopping, outer, record, history, checkpoint, *last]
    preemption = training.Preemption(checkpoint)
    with preemption:
        model.fit(
            tiny.dataset().take(num_steps).skip(steps),
            initial_epoch=epochs,
            epochs=NUM_EPOCHS,
            steps_per_epoch=5,
            callbacks=[*callbacks, preemption]
            + ([Power(stop_after)] if stop_after is not None else []),
            verbose=0,
            shuffle=False,
        )
    moments = [
        tf.convert_to_tensor(v)
        for optimizer in (model.optimizer, *model.criterion_optimizers)
        for v in optimizer.variables
    ]
    values = [*model.weights, *moments, *model.prox_center.copies, *outer.best.copies]
    arrays = [np.array(tf.convert_to_tensor(v)) for v in values]
    rows = training.history.read_history(directory / "history.jsonl")
    proxies = {path.name: path.read_bytes() for path in (directory / "proxies").iterdir()}
    return arrays, rows, outer.get_state(), stopping.get_state(), proxies


@pytest.fixture(scope="module")
def made():
    """What one test has made for all of this file, by name."""
    return {}


@pytest.fixture
def whole(made, tmp_path_factory, op_determinism):
    """What `run` returns of a run that was never stopped."""
    if "whole" not in made:
        made["directory"] = tmp_path_factory.mktemp("whole")
        made["whole"] = run(made["directory"])
    return made["whole"]


@pytest.fixture
def stopped(made, tmp_path_factory, tmp_path, op_determinism):
    """A directory of its own with that run, but stopped after its fifth epoch."""
    if "stopped" not in made:
        made["stopped"] = tmp_path_factory.mktemp("stopped")
        with pytest.raises(KeyboardInterrupt):
            run(made["stopped"], stop_after=4)
    return shutil.copytree(made["stopped"], tmp_path / "stopped")


@pytest.fixture
def finished(whole, made, tmp_path):
    """A directory of its own with that run."""
    return shutil.copytree(made["directory"], tmp_path / "finished")


@pytest.mark.parametrize("stop_after", [0, 3, 6])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, stop_after, whole):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_after)
    resumed = run(tmp_path / "parts")
    for one, other in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1:] == resumed[1:]
    assert len(whole[1]) == NUM_EPOCHS
    assert len(whole[-1]) == 4  # three instances, and the end


def test_the_last_checkpoint_holds_the_last_weights_not_the_best(tmp_path):
    model = tiny.learner()
    stopping = training.EarlyStopping(patience=2)
    checkpoint = training.Checkpoint(tmp_path, [stopping], every=3)
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(w) for w in self.model.encoder.get_weights()])

    model.fit(
        tiny.dataset(),
        steps_per_epoch=5,
        epochs=NUM_EPOCHS,
        callbacks=[Score(), Look(), stopping, checkpoint],
        verbose=0,
        shuffle=False,
    )
    resumed = tiny.learner()
    again = training.EarlyStopping(patience=2)
    assert training.Checkpoint(tmp_path, [again]).restore(resumed) == (4, 20)
    for last, now in zip(seen[-1], resumed.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(last, now)
    again.best.put_back()
    for best, now in zip(seen[1], resumed.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(best, now)


def test_a_checkpoint_of_another_method_is_refused(finished, caplog):
    model = tiny.learner(losses.TripletLoss())
    gc.collect()  # What tests before this one left may still be told.
    caplog.clear()
    with pytest.raises(ValueError, match="another model or method"):
        training.Checkpoint(finished / "checkpoints").restore(model)
    gc.collect()
    assert "unrestored" not in caplog.text  # TensorFlow would list every value.


def test_fit_does_not_write_over_a_run_by_accident(finished):
    model = tiny.learner(prox_weight=0.1)
    outer = training.ProxyReinitialization(Pool())
    stopping = training.EarlyStopping()
    record = training.ProxyRecord(outer, finished / "proxies")
    checkpoint = training.Checkpoint(finished / "checkpoints", [outer, record, stopping])
    with pytest.raises(ValueError, match="Call `restore` before `fit`"):
        model.fit(
            tiny.dataset(), steps_per_epoch=5, callbacks=[Score(), stopping, outer, checkpoint]
        )


def test_early_stopping_stops_and_restores_the_best_encoder(tmp_path):
    model = tiny.learner()
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(w) for w in self.model.encoder.get_weights()])

    stopping = training.EarlyStopping(patience=2)
    model.fit(
        tiny.dataset(),
        steps_per_epoch=5,
        epochs=NUM_EPOCHS,
        callbacks=[Score(), Look(), stopping],
        verbose=0,
        shuffle=False,
    )
    assert len(seen) == 4  # 0.3 is the best, two evaluations without a gain follow
    assert stopping.best_step == 10
    for best, now in zip(seen[1], model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(best, now)


class Evaluated(tf.keras.callbacks.Callback):
    """Notes the weights of encoder and criterion as they are evaluated."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(tiny.weights(self.model))


def fit_with_new_proxies_each_time(order):
    """Trains 3 epochs; every evaluation is the end of an instance, the second the best."""
    callbacks = {
        "evaluation": Score(),
        "seen": Evaluated(),
        "stopping": training.EarlyStopping(),
        "outer": training.ProxyReinitialization(Pool(), patience=None, period=1),
    }
    model = tiny.learner()
    model.fit(
        tiny.dataset(),
        steps_per_epoch=5,
        epochs=3,
        callbacks=[callbacks[name] for name in order],
        verbose=0,
        shuffle=False,
    )
    return model, callbacks["seen"].seen


def test_the_best_weights_have_the_proxies_they_were_evaluated_with():
    model, seen = fit_with_new_proxies_each_time(["evaluation", "seen", "stopping", "outer"])
    np.testing.assert_array_equal(tiny.weights(model), seen[1])


def test_an_order_in_which_the_best_weights_would_get_other_proxies_is_refused():
    with pytest.raises(ValueError, match="`EarlyStopping` must stand before"):
        fit_with_new_proxies_each_time(["evaluation", "seen", "outer", "stopping"])


def test_a_loss_that_is_not_a_number_leaves_the_last_checkpoint(tmp_path):
    model = tiny.learner(activation="linear")
    checkpoint = training.Checkpoint(tmp_path)
    checkpoint.restore(model)
    images, labels = tiny.batches(20)
    images[12] = np.nan
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    with pytest.raises(training.NonFiniteLossError, match="step 13"):
        model.fit(
            data, steps_per_epoch=5, epochs=4, callbacks=[checkpoint], verbose=0, shuffle=False
        )
    restored = tiny.learner(activation="linear")
    assert training.Checkpoint(tmp_path).restore(restored) == (2, 10)
    assert np.isfinite(tiny.weights(restored)).all()


class Ask(tf.keras.callbacks.Callback):
    """Asks this process to stop, as a cluster does, after some calls of the inner loop."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_train_batch_end(self, batch, logs=None):
        self.calls -= 1
        if self.calls == 0:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("calls", [3, 12])
def test_a_run_asked_to_stop_goes_on_inside_its_epoch(tmp_path, calls, op_determinism):
    whole = run(tmp_path / "whole", steps_per_execution=1)
    with pytest.raises(training.Preempted, match=f"step {calls}"):
        run(tmp_path / "parts", steps_per_execution=1, last=[Ask(calls)])
    resumed = run(tmp_path / "parts", steps_per_execution=1)
    for one, other in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1:] == resumed[1:]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_run_stopped_while_proxies_learn_alone_goes_on_bit_for_bit(tmp_path, op_determinism):
    # Instances of 2, 1, 1, ... evaluations of 5 steps, the first 3 of each for the proxies alone:
    # steps 11-13, 16-18, 21-23, ...
    seams = {"patience": None, "period": (2, 1), "pick": coreset.random_picks}
    alone = training.Placing(proxies_only_steps=3)
    options = seams | {"placing": alone, "steps_per_execution": 1}
    whole = run(tmp_path / "whole", **options)
    with pytest.raises(training.Preempted, match="step 17"):
        run(tmp_path / "parts", last=[Ask(17)], **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_after=5, **options)
    resumed = run(tmp_path / "parts", **options)
    for one, other in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1:] == resumed[1:]
    assert [row["problem_instance"] for row in whole[1]] == [0, 0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("extra_classes", "counter", "count"),
    [
        (lambda: losses.VirtualClasses(2), "num_kept", 2),
        (losses.SyntheticClasses, "num_draws", 25),
    ],
    ids=["virtual", "synthetic"],
)
def test_a_run_with_extra_classes_goes_on_bit_for_bit(
    tmp_path, extra_classes, counter, count, op_determinism
):
    # Instances end after 2, 3, 4, ... evaluations; the run stops after 5. In the end early stopping
    # puts back what was there at the best evaluation, the fifth, 25 steps from the start.
    options = {"extra_classes": extra_classes, "patience": None, "period": (2, 1)}
    whole = run(tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_after=4, **options)
    look = tf.keras.callbacks.Callback()
    resumed = run(tmp_path / "parts", last=[look], **options)
    for one, other in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1:] == resumed[1:]
    state = getattr(look.model.criterion.extra_classes, counter)
    assert int(tf.convert_to_tensor(state)) == count


def test_a_run_asked_to_stop_after_a_last_call_of_fewer_steps(tmp_path, op_determinism):
    num_steps = 5 * NUM_EPOCHS - 3  # The data end after 2 of the 5 steps of the last call.
    whole = run(tmp_path / "whole", num_steps=num_steps)
    with pytest.raises(training.Preempted, match=f"step {num_steps}"):
        run(tmp_path / "parts", num_steps=num_steps, last=[Ask(NUM_EPOCHS)])
    assert run(tmp_path / "parts", num_steps=num_steps)[1:] == whole[1:]


def test_a_run_asked_to_stop_in_its_last_evaluation_leaves(tmp_path):
    class AskInEvaluation(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == NUM_EPOCHS - 1:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(training.Preempted, match="step 40"):
        run(tmp_path, last=[AskInEvaluation()])
    assert len(run(tmp_path)[1]) == NUM_EPOCHS


def test_what_a_kill_left_in_the_middle_of_a_checkpoint_is_removed(finished):
    directory = finished / "checkpoints"
    (directory / "ckpt-99 (copy).index").touch()  # Of somebody else: neither read nor removed.
    whole = sorted(directory.iterdir())
    (directory / "ckpt-99_temp").mkdir()
    left = ["ckpt-99_temp/part-00000-of-00001.index", "ckpt-99.data-00000-of-00001"]
    for name in (*left, "ckpt-99.index.tempstate123", "checkpoint.tmp0a1b"):
        (directory / name).touch()
    run(finished)
    assert sorted(directory.iterdir()) == whole


def damage(path):
    path.write_bytes(path.read_bytes()[:-100])


def newest(directory, pattern):
    return max((directory / "checkpoints").glob(pattern), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("part", ["ckpt-*.index", "ckpt-*.data*", "checkpoint"])
def test_a_damaged_checkpoint_is_passed_over(stopped, part, whole, caplog):
    path = newest(stopped, part)
    damage(path)
    with caplog.at_level("WARNING"):
        resumed = run(stopped)
    told = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert [path.stem.split(".")[0] in message for message in told] == [True] * (
        part != "checkpoint"
    )
    for one, other in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1:] == resumed[1:]


def test_a_run_without_a_sound_checkpoint_does_not_start_anew(finished):
    for path in (finished / "checkpoints").glob("ckpt-*.data*"):
        damage(path)
    with pytest.raises(ValueError, match="No checkpoint .* can be read"):
        run(finished)


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="step 20 cannot be written"):
            run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(run(tmp_path)[1]) == NUM_EPOCHS


@pytest.mark.parametrize("line", ["3", "[]", "{}", "{", '"step"', '{"step": "x"}'])
def test_a_line_of_history_that_is_no_row_is_named(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_text(f'{{"step": 5}}\n{line}\n')
    with pytest.raises(ValueError, match=r"history\.jsonl, line 2: .*Remove the line"):
        training.history.read_history(path)


def test_half_a_line_of_history_is_forgotten(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 5}\n{"step": 1')
    assert training.history.read_history(path) == [{"step": 5}]
