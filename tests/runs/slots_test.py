"""Every name that gin knows has a place in a run where it can be bound."""

import inspect

import pytest
from gin import config as gin_config

from ccpdml import bounds, config, data, layers, losses, models, training
from ccpdml.losses import extra_classes, miners
from tests.config_test import DIGITS

# Names by the slot that takes them, as `slot = @Name` or `slot = @Name()`.
SLOTS = {
    "train.learner": [training.MetricLearner],
    "train.early_stopping": [training.EarlyStopping],
    "train.evaluation": [training.RetrievalEvaluation],
    "train.checkpoint": [training.Checkpoint],
    "train.tensorboard": [training.TensorBoardScalars],
    "train.tracker": [training.WandbTracker, training.MlflowTracker],
    "train.sampler": [data.samplers.ClassBalancedSampler, data.samplers.CategoryBalancedSampler],
    "train.pool": [training.PoolDraw],
    "train.reinitialization": [training.ProxyReinitialization],
    "train.encoder": [models.build_encoder],
    "train.data": [data.load],
    "train.criterion": losses.Criterion,
    "ChanceConstrainedLoss.loss": losses.PairLoss,
    "ChanceConstrainedLoss.extra_classes": extra_classes.ExtraClasses,
    "MinedLoss.miner": miners.Miner,
    "ThresholdConsistentLoss.loss": losses.PairLoss,
    "ProxyAnchorLoss.normalization": layers.normalization._Geometry,
    "train.training_view": "ccpdml.data.views",
    "train.preprocess": "ccpdml.models.inputs",
    "build_encoder.backbone": ("ccpdml.models", training.trained_network.__module__),
    "build_encoder.pooling": [layers.GeneralizedMeanPooling, layers.GeneralizedSumPooling],
    "ProxyReinitialization.placing": [training.Placing],
    "ProxyReinitialization.pick": "ccpdml.ops.coreset",
}


def takes(slot, made):
    kinds = SLOTS[slot]
    if isinstance(kinds, list):
        return inspect.unwrap(made) in map(inspect.unwrap, kinds)
    if isinstance(kinds, type):
        return inspect.isclass(made) and issubclass(made, kinds)
    return made.__module__.startswith(kinds)


def test_every_registered_name_can_be_bound_somewhere():
    registered = {
        selector: entry.wrapped
        for selector, entry in gin_config._REGISTRY.items()
        if entry.wrapped.__module__.startswith("ccpdml.") and entry.name != "train"
    }
    assert len(registered) > 30
    lost = [n for n, made in registered.items() if not any(takes(slot, made) for slot in SLOTS)]
    assert lost == []


@pytest.mark.parametrize("slot", SLOTS)
def test_every_slot_is_an_argument(slot):
    name, argument = slot.split(".")
    selector = gin_config._REGISTRY.get_match(name).selector
    made = gin_config._REGISTRY[selector].wrapped
    assert argument in bounds.arguments(made)


@pytest.mark.parametrize(
    "binding",
    [
        "EarlyStopping.patience = 7",
        "RetrievalEvaluation.recall_at = (3,)",
        "Checkpoint.keep = 5",
        "MetricLearner.clip_norm = 1.0",
        "train.callbacks = (@EarlyStopping, @EarlyStopping)",
    ],
)
def test_what_a_run_makes_by_itself_can_be_bound(binding):
    config.load([DIGITS], [binding])


def test_a_default_that_is_made_has_what_is_bound():
    config.load([DIGITS], ["EarlyStopping.patience = 7", "Checkpoint.keep = 5"])
    assert config.bindable(training.EarlyStopping)().patience == 7
    assert config.bindable(training.Checkpoint)("nowhere").keep == 5
