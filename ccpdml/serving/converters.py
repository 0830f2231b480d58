"""The network of an encoder in the formats of other programs.

A converter is called `convert(model, path, inputs)`: it writes `path`, and returns what the written
file makes of `inputs`, float32 [n, height, width, channels]. The file computes in 32 bits.
"""

import numpy as np
import tensorflow as tf

from ccpdml import compat

OPSET = 17  # Of ONNX; read by onnxruntime from 1.12 on.


def to_tflite(model, path, inputs):
    """Writes a TFLite file; any number of images may be set as its batch."""
    model = _in_float32(model)
    function, owner = _function(model), tf.Module()
    # The converter takes the variables of this module; those of a Keras 3 model it does not see.
    owner.weights = [compat.raw(variable) for variable in model.weights]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], owner
    )
    path.write_bytes(converter.convert())
    interpreter = compat.tflite_interpreter(path)
    (wanted,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(wanted["index"], inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(wanted["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def to_onnx(model, path, inputs):
    """Writes an ONNX file with the input `images` and the output `embeddings`.

    Raises:
        ImportError: if one of the packages it needs is missing; says what to install.
    """
    onnx, tf2onnx, onnxruntime = _import_onnx()
    function = _function(_in_float32(model))
    network, _ = tf2onnx.convert.from_function(
        function,
        input_signature=function.input_signature,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_one_minus_erf, [])},
    )
    _keep_captured(onnx, function.get_concrete_function(), network.graph)
    _name_output(network.graph, "embeddings")
    path.write_bytes(network.SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(["embeddings"], {"images": inputs})
    return embeddings


CONVERTERS = {"onnx": to_onnx, "tflite": to_tflite}


def computes_in_16_bits(model):
    """Tells whether a layer of a model computes in bfloat16, which these formats do not know."""
    return any(layer.compute_dtype == "bfloat16" for layer in compat.sublayers(model))


def _in_float32(model):
    """The model, or, if it computes in 16 bits, a copy of the same weights that does so in 32."""
    if not computes_in_16_bits(model):
        return model
    copy = type(model).from_config(_of_float32(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def _of_float32(config):
    """A configuration in which no layer computes in 16 bits, at any depth."""
    if isinstance(config, dict):
        return {name: _of_float32(value) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(map(_of_float32, config))
    return "float32" if config == "mixed_bfloat16" else config


def _function(model):
    """A model as a function of the tensor `images`, for any number of them."""
    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="images")
    return tf.function(lambda images: model(images, training=False), input_signature=[spec])


def _one_minus_erf(graph, node, name, _):
    """Replaces TensorFlow's Erfc, which is in GELU, in an ONNX graph: ONNX has Erf alone."""
    erf = graph.make_node("Erf", node.input)
    one = graph.make_const(f"{name}_one", np.float32(1.0))
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(name)
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=node.output, shapes=shapes, dtypes=dtypes
    )


def _keep_captured(onnx, function, graph):
    """Makes constants of an ONNX graph's inputs that are tensors which the network holds itself."""
    used = {name for node in graph.node for name in node.input}
    held = {
        placeholder.name: tensor
        for tensor, placeholder in function.graph.captures
        if tensor.dtype != tf.resource
    }
    for name in used & held.keys():
        graph.initializer.append(onnx.numpy_helper.from_array(held[name].numpy(), name))
    given = [each for each in graph.input if each.name not in held]
    del graph.input[:]
    graph.input.extend(given)


def _name_output(graph, name):
    """Gives the one output of an ONNX graph a name, and its batch axis likewise."""
    (output,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == output.name else each for each in names]
    output.name = name
    for value in (*graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _import_onnx():
    try:
        import onnx
        import onnxruntime
        import tf2onnx
    except (ImportError, AttributeError) as error:  # onnx fails with either.
        raise ImportError(
            "The format onnx needs the packages onnx, tf2onnx and onnxruntime: pip install "
            "'ccpdml[export]'. With TensorFlow 2.15 onnx must be below 1.19: later ones need a "
            f"newer ml-dtypes than it allows. Received: {error}"
        ) from error
    return onnx, tf2onnx, onnxruntime
