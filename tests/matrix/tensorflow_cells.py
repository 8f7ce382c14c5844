"""The table of TensorFlow and Keras: sources x architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.matrix.cell import Cell, Samples

__all__ = ["CELLS", "INCOMPLETE"]

KERAS = "keras_layers.py:"
FUNCTIONS = "tensorflow_models.py:"


def _of(*sizes: Mapping[str, tuple[int, ...]]) -> Samples:
    """Return samples of normal numbers, one event for each mapping from input to shape."""
    return lambda rng: [{name: rng.normal(size=shape).astype("float32") for name, shape in size.items()} for size in sizes]


def _padded_sets(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    events = []
    for n, length in ((3, 6), (5, 9)):
        mask = np.arange(length)[None, :] < rng.integers(1, length + 1, (n, 1))
        events.append({"tracks": rng.normal(size=(n, length, 3)).astype("float32") * mask[..., None], "mask_of_tracks": mask})
    return events


def _padded_tracks(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    return [{"tracks": event["tracks"]} for event in _padded_sets(rng)]


def _graphs(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    return [
        {"x": rng.normal(size=(n, 3)).astype("float32"), "edge_index": rng.integers(0, n, (2, e))}
        for n, e in ((6, 14), (9, 25))
    ]


def _rows(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    events = []
    for n, rows in ((11, 4), (17, 6)):
        ends = np.sort(rng.integers(0, n + 1, rows - 1))
        splits = np.concatenate([[0], ends, [n]]).astype("int32")
        events.append({"values": rng.normal(size=(n, 3)).astype("float32"), "row_splits": splits})
    return events


def _hits(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    return [{"hits": rng.normal(size=(n, k, 5)).astype("float32")} for n, k in ((2, 9), (3, 14))]


def _kinds(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    return [{"kinds": rng.integers(0, 20, (n, k)).astype("int32")} for n, k in ((2, 9), (3, 14))]


def _preprocessed(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    return [
        {"x": rng.normal(size=(n, 3)).astype("float32"), "kind": rng.integers(0, 5, (n, 1)).astype("int32")} for n in (3, 5)
    ]


def _masked(rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    events = [{"jets": e["tracks"], "valid": e["mask_of_tracks"]} for e in _padded_sets(rng)]
    for event in events:
        event["valid"][:, 0] = True
    return events


MODELS = (
    Cell(name="Keras factory, sequential", source="keras_models.py:sequential", names=["hits"], outputs=["score"]),
    Cell(
        name="Keras factory, two inputs and outputs",
        source="keras_models.py:two_and_two",
        names=["tracks", "event"],
        outputs=["flavour", "pt"],
    ),
    Cell(
        name="Keras functional, residual CNN with batch normalisation",
        source=f"{KERAS}residual_network",
        names=["image"],
        outputs=["classes"],
    ),
    Cell(name="Keras functional, fully convolutional", source=f"{KERAS}fully_convolutional", names=["image"], outputs=["map"]),
    Cell(
        name="Keras functional, bilinear upsampling of a dynamic image",
        source=f"{KERAS}bilinear",
        expect="keras.src.ops.image",
        code=4,
        cure="fix the size of the image, or interpolation='nearest'",
    ),
    Cell(name="Keras functional, LSTM of fixed length", source=f"{KERAS}lstm", names=["tracks"], outputs=["flavour"]),
    Cell(name="Keras functional, GRU of dynamic length", source=f"{KERAS}gru_dynamic", names=["tracks"], outputs=["flavour"]),
    Cell(
        name="Keras functional, masked bidirectional LSTM",
        source=f"{KERAS}bidirectional_masked",
        outputs=["flavour"],
        inputs=_padded_tracks,
    ),
    Cell(name="Keras functional, embedding with mask", source=f"{KERAS}embedding_masked", inputs=_kinds, outputs=["score"]),
    Cell(name="Keras functional, transformer", source=f"{KERAS}transformer", names=["jets"], outputs=["tag"]),
    Cell(name="Keras functional, causal convolution", source=f"{KERAS}causal_convolution", names=["wave"], outputs=["trigger"]),
    Cell(
        name="Keras functional, dicts in and out",
        source=f"{KERAS}named_by_dicts",
        names=["tracks", "event"],
        outputs=["pt", "flavour"],
    ),
    Cell(
        name="Keras functional, mixed_float16",
        source=f"{KERAS}mixed_precision",
        names=["hits"],
        outputs=["score"],
        options=["--rtol", "0.01", "--atol", "0.001"],
    ),
    Cell(name="Keras functional, float64", source=f"{KERAS}double_precision", names=["hits"], outputs=["score"]),
    Cell(
        name="Keras functional, nested model used twice",
        source=f"{KERAS}nested_models",
        names=["left", "right"],
        outputs=["same"],
    ),
    Cell(name="Keras functional, registered custom layer", source=f"{KERAS}custom_layer", names=["x"], outputs=["y"]),
    Cell(name="Keras functional, nearest neighbours", source=f"{KERAS}gravnet_like", inputs=_hits, outputs=["beta"]),
    Cell(
        name="Keras functional, normalisation and categories",
        source=f"{KERAS}preprocessing",
        outputs=["y"],
        inputs=_preprocessed,
    ),
    Cell(name="Keras functional, group normalisation", source=f"{KERAS}group_normalisation", names=["image"], outputs=["y"]),
    Cell(name="Keras functional, convolutional LSTM", source=f"{KERAS}convolutional_lstm", names=["frames"], outputs=["y"]),
    Cell(
        name="Keras functional, three-dimensional convolution",
        source=f"{KERAS}convolution_3d",
        names=["cells"],
        outputs=["energy"],
    ),
    Cell(
        name="Keras functional, autoencoder with bilinear upsampling",
        source=f"{KERAS}autoencoder",
        names=["image"],
        outputs=["again"],
    ),
    Cell(name="Keras functional, attention with a mask", source=f"{KERAS}masked_attention", inputs=_masked, outputs=["tag"]),
    Cell(
        name="Keras functional, simple and stacked recurrent cells",
        source=f"{KERAS}simple_recurrent",
        names=["x"],
        outputs=["y"],
    ),
    Cell(
        name="Keras subclassed, two inputs by name",
        source=f"{FUNCTIONS}deep_sets",
        inputs=_padded_sets,
        outputs=["flavour", "count"],
    ),
    Cell(name="Keras subclassed, loop", source=f"{FUNCTIONS}subclassed_loop", inputs=_of({"x": (3, 4)}, {"x": (5, 4)})),
    Cell(
        name="Keras subclassed, a dict as input",
        source=f"{FUNCTIONS}keyed_input",
        inputs=_of({"pt": (3, 2), "eta": (3, 2)}, {"pt": (5, 2), "eta": (5, 2)}),
        reversed=False,  # such a model declares no names: the order is that of the samples
    ),
    Cell(
        name="Keras subclassed, Python if on data",
        source=f"{FUNCTIONS}branching",
        inputs=_of({"x": (3, 4)}, {"x": (5, 4)}),
        expect="keras_layers.py, line",
        code=4,
        cure="write the branch with keras.ops.cond or keras.ops.where",
    ),
    Cell(
        name="Keras functional, TextVectorization",
        source=f"{KERAS}text_vectorization",
        expect="could not convert",
        code=4,
        cure="vectorise before the model: ONNX has no such operator",
    ),
)

FUNCTION_CELLS = (
    Cell(
        name="tf.function, ConcreteFunction", source=f"{FUNCTIONS}concrete", names=["hits", "event"], outputs=["score", "best"]
    ),
    Cell(
        name="tf.function, a dict in its signature",
        source=f"{FUNCTIONS}nested_signature",
        names=["hits", "event_eta", "event_pt"],
    ),
    Cell(name="tf.function, while loop", source=f"{FUNCTIONS}while_loop", names=["a"]),
    Cell(name="tf.function, rfft", source=f"{FUNCTIONS}spectrum", names=["wave"], outputs=["power", "phase_free"]),
    Cell(name="tf.function, values and row_splits", source=f"{FUNCTIONS}ragged", inputs=_rows),
    Cell(name="tf.function, graph network", source=f"{FUNCTIONS}message_passing", inputs=_graphs),
    Cell(
        name="tf.function, einsum, trace, cumsum, sort",
        source=f"{FUNCTIONS}linear_algebra",
        names=["x"],
        outputs=["gram", "trace", "cumulated", "sorted"],
    ),
    Cell(
        name="tf.function, integers and bools",
        source=f"{FUNCTIONS}whole_numbers_and_bools",
        names=["a", "b"],
        outputs=["any", "count", "mod"],
    ),
    Cell(name="tf.Module with a signature", source=f"{FUNCTIONS}module", names=["x"]),
    Cell(
        name="tf.Module without a signature, if on data",
        source=f"{FUNCTIONS}plain_module",
        inputs=_of({"x": (3, 4), "scale": (3, 1)}, {"x": (5, 4), "scale": (5, 1)}),
    ),
    Cell(
        name="tf.function, matrix inverse",
        source=f"{FUNCTIONS}matrix_inverse",
        expect="could not convert MatrixInverse",
        code=4,
        cure="write the inverse of a small matrix out (adjugate), or solve it before the model",
    ),
    Cell(
        name="tf.function, py_function",
        source=f"{FUNCTIONS}python_inside",
        expect="could not convert EagerPyFunc",
        code=4,
        cure="write the Python function with operations of TensorFlow",
    ),
    Cell(
        name="tf.function, RaggedTensorSpec",
        source=f"{FUNCTIONS}ragged_signature",
        expect="row_splits as two inputs",
        code=4,
        cure="take values and row_splits as two inputs",
    ),
)

FILES = (
    Cell(name=".keras, sequential", source="sequential.keras", names=["hits"], outputs=["score"]),
    Cell(name=".keras, dicts in and out", source="dicts.keras", names=["tracks", "event"], outputs=["pt", "flavour"]),
    Cell(
        name=".keras, Lambda, permitted", source="with_lambda.keras", names=["x"], outputs=["lambda"], options=["--allow-code"]
    ),
    Cell(name="SavedModel, Keras export of a transformer", source="exported", names=["jets"]),
    Cell(name=".keras, transformer", source="transformer.keras", names=["jets"], outputs=["tag"]),
    Cell(name="SavedModel, GRU of dynamic length", source="exported_gru", names=["tracks"]),
    Cell(name="SavedModel, tf.Module", source="saved_module", names=["x"]),
    Cell(name="SavedModel, float64 and int64", source="saved", names=["charge", "momenta"], outputs=["a_positive", "z_sum"]),
    Cell(name=".h5 of Keras 3, embedding with mask (NotEqual)", source="keras3.h5", inputs=_kinds, outputs=["score"]),
    Cell(name=".hdf5 of Keras 3, CNN with optimizer", source="keras3_trained.hdf5", names=["image"], outputs=["classes"]),
    Cell(
        name=".h5 of Keras 3, several axes",
        source="keras3_axes.h5",
        expect="save the model as .keras",
        code=4,
        cure="save the model as .keras",
    ),
    Cell(
        name="Keras factory with weights from .h5",
        source=f"{KERAS}nested_models",
        names=["left", "right"],
        options=["--weights", "only.weights.h5"],
        outputs=["same"],
    ),
    *(
        Cell(
            name=f".h5 of Keras 2, {title}",
            source=f"keras2/{stem}.h5",
            golden=f"keras2/{stem}.npz",
            outputs=[output],
        )
        for title, stem, output in (
            ("recurrent with hard_sigmoid", "hard_sigmoid", "score"),
            ("twenty kinds of layers", "many_layers", "dense_2"),
            ("embedding with mask", "masked", "score"),
            ("operations of TensorFlow", "operations", "y"),
            ("attention", "attention", "y"),
            ("nested model used twice", "nested", "score"),
            ("initial states", "states", "score"),
            ("optimizer of old Keras", "trained", "score"),
        )
    ),
    Cell(
        name="frozen .pb, two outputs",
        source="frozen.pb",
        names=["main_input"],
        outputs=["output/BiasAdd", "em_trk_none_netout/Softmax"],
    ),
    Cell(
        name="frozen .pb, outputs chosen by --outputs",
        source="frozen.pb",
        names=["main_input"],
        options=["--outputs", "em_trk_none_netout/Softmax,hidden/Relu"],
        outputs=["em_trk_none_netout/Softmax", "hidden/Relu"],
    ),
    Cell(
        name="frozen .pb, no shapes",
        source="frozen_unranked.pb",
        inputs=_of({"x": (3, 6)}, {"x": (5, 8)}),
        outputs=["best", "best:1"],
    ),
    Cell(name="frozen .pb, residual CNN", source="frozen_cnn.pb", names=["image"], outputs=["Identity"]),
    Cell(name="frozen .pb, GRU", source="frozen_gru.pb", names=["tracks"], outputs=["Identity"]),
    Cell(
        name="frozen .pb, GRU, lowered control flow",
        source="frozen_gru_lowered.pb",
        expect="lower_control_flow=False",
        code=4,
        cure="freeze with lower_control_flow=False, or give the SavedModel or Keras model",
    ),
    Cell(name="frozen .pb, loop of TensorFlow 1", source="frozen_loop.pb", names=["x"], outputs=["y"]),
    Cell(name="frozen .pb, branch of TensorFlow 1", source="frozen_branch.pb", names=["x"], outputs=["y"]),
    Cell(name=".tflite, residual CNN", source="cnn.tflite", names=["image"]),
    Cell(name=".tflite, transformer", source="attention.tflite", names=["jets"]),
    Cell(name=".tflite, two inputs", source="two_inputs.tflite", names=["left", "right"]),
    Cell(name=".tflite, quantised CNN", source="quantised.tflite", names=["image"]),
    Cell(
        name=".tflite, LSTM",
        source="recurrent.tflite",
        expect="give the Keras model or SavedModel",
        code=4,
        cure="the Keras model or SavedModel that the file was made from",
    ),
)

# What lacks something that the user has: each converts in another cell once that is given.
INCOMPLETE: Sequence[Cell] = (
    Cell(
        name=".keras, Lambda",
        source="with_lambda.keras",
        expect="--allow-code",
        code=4,
        cure="--allow-code, if the file is trusted",
    ),
    Cell(
        name=".keras, custom layer",
        source="custom_layer.keras",
        expect="factory",
        code=4,
        cure="a factory that defines the layer and loads the file",
    ),
    Cell(
        name=".h5 of weights only",
        source="only.weights.h5",
        expect="--weights",
        code=2,
        cure="a factory of the model, and the file as --weights",
    ),
    Cell(
        name=".pb that is not frozen",
        source="not_frozen.pb",
        expect="not frozen",
        code=4,
        cure="freeze it, or give the SavedModel",
    ),
)

CELLS: Sequence[Cell] = (*MODELS, *FUNCTION_CELLS, *FILES)
