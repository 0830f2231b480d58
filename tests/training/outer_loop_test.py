"""The callbacks of a `fit` as one object: names, order, state."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import training
from tests.training import checkpoint_test, tiny

NUM_EPOCHS = 4


class Score(training.OuterCallback):
    """A made-up score that rises."""

    stage = training.Stage.EVALUATION

    def on_epoch_end(self, epoch, logs=None):
        logs["val_map_at_r"] = 0.1 * epoch


class Counter(training.StatefulCallback):
    """Counts the epochs of a run, also those before it was stopped; notes the logs it sees."""

    def __init__(self):
        super().__init__()
        self.count, self.seen = 0, set()

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        self.seen |= set(logs)

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


def outer_loop(directory, **named):
    """Callbacks in no good order."""
    proxies = training.ProxyReinitialization(checkpoint_test.Pool(), patience=None, period=1)
    history = training.History(directory / "history.jsonl")
    checkpoint = training.Checkpoint(directory / "checkpoints")
    given = [checkpoint, history, Counter(), proxies, training.EarlyStopping(), Score()]
    return training.OuterLoop(given, **named)


def fit(outer, epochs=NUM_EPOCHS, **kwargs):
    """Trains a learner; returns its weights."""
    model = tiny.learner(prox_weight=0.1)
    outer.fit(model, lambda step: tiny.dataset().skip(step), 5, epochs, **kwargs)
    return tiny.weights(model)


def test_callbacks_act_in_order_however_they_are_given(tmp_path):
    outer = outer_loop(tmp_path, rate=tf.keras.callbacks.LearningRateScheduler(lambda e, r: r))
    assert outer.names == [
        *("Score", "EarlyStopping", "ProxyReinitialization"),
        *("Counter", "rate", "History", "Checkpoint"),
    ]
    assert [type(callback) for callback in outer][0] is Score


def test_two_of_one_name_are_refused_and_told_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"called 'EarlyStopping'.* my_name=EarlyStopping"):
        training.OuterLoop([training.EarlyStopping(), training.EarlyStopping("loss", "min")])
    with pytest.raises(ValueError, match="must be Keras callbacks"):
        training.OuterLoop([3])
    with pytest.raises(ValueError, match="one `Checkpoint` at most"):
        training.OuterLoop([training.Checkpoint(tmp_path, [training.EarlyStopping()])])
    with pytest.raises(ValueError, match="Two callbacks of one class"):
        training.Checkpoint(tmp_path, [training.EarlyStopping(), training.EarlyStopping()])


def test_a_callback_that_a_checkpoint_cannot_keep_is_told(tmp_path):
    with pytest.raises(ValueError, match="must have `get_state`.* Received: Callback"):
        training.Checkpoint(tmp_path, [tf.keras.callbacks.Callback()])
    with pytest.raises(ValueError, match="`Checkpoint.restore` before `save`"):
        training.Checkpoint(tmp_path).save()
    assert isinstance(training.EarlyStopping(), training.Checkpointed)
    assert not isinstance(training.Checkpoint(tmp_path), training.Checkpointed)


def test_a_stage_of_a_callback_that_is_not_ours_is_refused():
    class Late(tf.keras.callbacks.Callback):
        stage = training.Stage.LOG

    with pytest.raises(ValueError, match="Only a `training.OuterCallback` .* the base of Late"):
        training.OuterLoop([Late()])


class Kept(Counter):
    """A counter that has a checkpoint keep something more."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def trackables(self):
        return {"kept": self.kept}


def test_variables_of_either_kind_are_kept_and_what_would_not_be_is_refused(tmp_path):
    for number, make in enumerate((tf.Variable, tf.keras.layers.Layer().add_weight)):
        directory = tmp_path / str(number)
        kept = make(1.0) if number == 0 else make(shape=(), initializer="ones", name="kept")
        loops = [
            training.OuterLoop([Score(), Kept(kept), training.Checkpoint(directory)])
            for _ in range(2)
        ]
        kept.assign(7.0)
        fit(loops[0], epochs=1)
        kept.assign(1.0)
        assert loops[1].restore(tiny.learner()) == (1, 5)
        assert float(tf.convert_to_tensor(kept)) == 7.0
    for kept in (tf.keras.metrics.Mean(), [tf.Variable(1.0)], 5):
        with pytest.raises(ValueError, match=r"`Kept.trackables\(\)\['kept'\]` must be a variable"):
            training.OuterLoop([Kept(kept), training.Checkpoint(tmp_path)]).restore(tiny.learner())


def test_a_stopped_fit_goes_on_bit_for_bit_with_every_state_of_its_own(tmp_path, op_determinism):
    whole = outer_loop(tmp_path / "whole", other=training.EarlyStopping("loss", "min"))
    weights = fit(whole)
    parts = tmp_path / "parts"
    fit(outer_loop(parts, other=training.EarlyStopping("loss", "min")), epochs=2)
    resumed = outer_loop(parts, other=training.EarlyStopping("loss", "min"))
    np.testing.assert_array_equal(fit(resumed), weights)
    assert resumed["Counter"].count == whole["Counter"].count == NUM_EPOCHS
    assert "problem_instance" in resumed["Counter"].seen
    states = [
        {name: outer[name].get_state() for name in ("EarlyStopping", "other")}
        for outer in (whole, resumed)
    ]
    assert states[0] == states[1]
    assert states[0]["EarlyStopping"] != states[0]["other"]
    rows = [(tmp_path / name / "history.jsonl").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1]


def test_a_fit_that_is_over_trains_no_more(tmp_path):
    def loop():
        stopping = training.EarlyStopping(patience=1, min_delta=1.0)
        return training.OuterLoop([Score(), stopping, training.Checkpoint(tmp_path), Counter()])

    first, again = loop(), loop()
    weights = fit(first)
    assert first.is_over
    assert first["Counter"].count == 2
    np.testing.assert_array_equal(fit(again), weights)
    assert again["Counter"].count == 2


def test_a_checkpoint_made_by_hand_is_gone_on_with(tmp_path):
    def checkpointed(stopping):
        return training.Checkpoint(tmp_path, [stopping])

    model, stopping = tiny.learner(), training.EarlyStopping()
    callbacks = [Score(), stopping, checkpointed(stopping)]
    model.fit(tiny.dataset(), steps_per_epoch=5, epochs=2, callbacks=callbacks, verbose=0)
    outer = training.OuterLoop([Score(), training.EarlyStopping(), training.Checkpoint(tmp_path)])
    assert outer.restore(tiny.learner()) == (2, 10)
    assert outer["EarlyStopping"].get_state() == stopping.get_state()


def test_of_several_early_stoppings_the_first_puts_its_weights_back():
    outer = training.OuterLoop([training.EarlyStopping()], by_loss=training.EarlyStopping("loss"))
    assert outer["EarlyStopping"].puts_back
    assert not outer["by_loss"].puts_back


def test_a_loop_belongs_to_one_learner():
    outer = training.OuterLoop([Score(), training.EarlyStopping()])
    model = tiny.learner()
    outer.fit(model, lambda step: tiny.dataset().skip(step), 5, 1)
    assert outer.restore(model) == (0, 0)
    with pytest.raises(ValueError, match="build another `OuterLoop`"):
        outer.fit(tiny.learner(), lambda step: tiny.dataset().skip(step), 5, 1)
