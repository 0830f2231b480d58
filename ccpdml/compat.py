"""Differences of Keras 2 and Keras 3: the one place that asks which of them is running."""

import contextlib
import importlib.metadata
import importlib.util
import inspect
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging
from tensorflow.python.ops import control_flow_util  # There is no public way to ask for XLA.

KERAS_3 = "learning_rate" in inspect.signature(tf.keras.optimizers.Adam.update_step).parameters

# How `add_weight` is told that replicas write the same value.
ONLY_FIRST_REPLICA = "only_first_replica" if KERAS_3 else tf.VariableAggregation.ONLY_FIRST_REPLICA


def keras_version() -> str:
    """Version of the Keras that `tf.keras` is, such as "3.12.0"."""
    return importlib.metadata.version(tf.keras.Model.__module__.split(".")[0])


def require_keras_3(what: str) -> None:
    """Raises ImportError under Keras 2.

    Args:
        what: for what Keras 3 is needed, the beginning of the message.
    """
    if not KERAS_3:
        raise ImportError(
            f"{what} takes Keras 3, which comes with TensorFlow 2.16 and later. Received: Keras "
            f"{keras_version()}"
        )


def save_unzipped(model: tf.keras.Model, folder: str | Path) -> None:
    """Saves a model as Keras 3 does on the Hugging Face Hub: the files of a .keras, in a folder."""
    tf.keras.models.save_model(model, str(folder), zipped=False)


def raw(variable: tf.Variable) -> tf.Variable:
    """The `tf.Variable` behind a Keras 3 variable; any other variable as it is."""
    is_wrapped = KERAS_3 and isinstance(variable, tf.keras.Variable)
    return variable.value if is_wrapped else variable


def sublayers(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
    """A layer and every layer inside it, at any depth, those that another layer is made of too."""
    return list(layer._flatten_layers(include_self=True, recursive=True))


def children(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
    """The layers that a layer or model is made of, in the order in which it came to hold them."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def add_lora(layer: tf.keras.layers.Layer, rank: int) -> None:
    """Adds a low-rank addition to the kernel of a dense layer, and rests the kernel.

    Raises:
        ValueError: under Keras 2, which has none.
    """
    if not KERAS_3:
        raise ValueError(
            f"Low-rank additions (LoRA) need Keras 3. Received: Keras {keras_version()}"
        )
    layer.enable_lora(rank)


def lora_of(layer: tf.keras.layers.Layer) -> tuple[tf.Variable, tf.Variable, float] | None:
    """Low-rank addition of a dense layer: A, B and the factor of their product; None without."""
    if not KERAS_3 or not layer.lora_enabled:
        return None
    return layer.lora_kernel_a, layer.lora_kernel_b, layer.lora_alpha / layer.lora_rank


def is_compiled_by_xla() -> bool:
    """Tells whether what is being traced belongs to a function with `jit_compile=True`."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def symbolic_length(vectors: tf.Tensor) -> tf.Tensor:
    """Length of symbolic vectors [..., dim], as [..., 1], in operations that Keras itself saves.

    Right from 1e-37 to the largest float32; shorter ones count as 1e-37 at most.
    """
    if KERAS_3:
        largest = tf.keras.ops.max(tf.keras.ops.abs(vectors), axis=-1, keepdims=True)
        scale = tf.keras.ops.maximum(largest, 1e-37)
        return scale * tf.keras.ops.norm(vectors / scale, axis=-1, keepdims=True)
    scale = tf.maximum(tf.reduce_max(tf.abs(vectors), axis=-1, keepdims=True), 1e-37)
    return scale * tf.norm(vectors / scale, axis=-1, keepdims=True)


def symbolic_maximum(values: tf.Tensor, lowest: float) -> tf.Tensor:
    """Symbolic values, those below the number `lowest` raised to it; saved as `symbolic_length`."""
    return (tf.keras.ops if KERAS_3 else tf).maximum(values, lowest)


@contextlib.contextmanager
def one_step_per_execution(model: tf.keras.Model) -> Iterator[None]:
    """Has `predict` run batch by batch, whatever number of steps `fit` runs at once.

    Keras 3 would hold that many batches of images together, and trace the model that many times.
    """
    if not KERAS_3:
        yield
        return
    steps, model.steps_per_execution = model.steps_per_execution, 1
    try:
        yield
    finally:
        model.steps_per_execution = steps


def variable_index(optimizer: tf.keras.optimizers.Optimizer, variable: tf.Variable) -> int:
    """Place of a variable among those that an optimizer was built with."""
    if KERAS_3:
        return optimizer._get_variable_index(variable)
    return optimizer._index_dict[optimizer._var_key(variable)]


def apply_summed_gradients(
    optimizer: tf.keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    variables: list[tf.Variable],
) -> None:
    """Applies gradients that are summed over the replicas already, without a second sum.

    Called from inside `strategy.run`. Keras 2 has a public switch for it, Keras 3 none: there the
    optimizer's own reduction is replaced on the instance.
    """
    pairs = list(zip(gradients, variables, strict=True))
    if tf.distribute.get_replica_context().num_replicas_in_sync == 1:
        optimizer.apply_gradients(pairs)
    elif KERAS_3:
        optimizer._all_reduce_sum_gradients = lambda grads_and_vars: list(grads_and_vars)
        optimizer.apply_gradients(pairs)
    else:
        optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)


def tflite_interpreter(path: str | Path) -> Any:
    """The interpreter of a TFLite file: LiteRT's own, or TensorFlow's where that is not installed.

    LiteRT is what runs such files on devices; the extra `export` brings it. TensorFlow's, the same
    program as of its release, is to leave TensorFlow.
    """
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(model_path=str(path))
    logging.info("%s is checked with TensorFlow's interpreter: no ai-edge-litert installed", path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        return tf.lite.Interpreter(model_path=str(path))


def import_keras_hub() -> types.ModuleType:
    """KerasHub, which is not imported before it is used.

    Raises:
        ImportError: if it is not installed, or `tf.keras` is not Keras 3; says what to do.
    """
    if not KERAS_3:
        raise ImportError(
            "KerasHub needs Keras 3: the default stack (TensorFlow 2.21), without "
            f"TF_USE_LEGACY_KERAS. Received: Keras {keras_version()}, TensorFlow {tf.__version__}"
        )
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            f"Backbones of KerasHub need it: pip install 'ccpdml[hub]'. Received: {error}"
        ) from error
    return keras_hub
