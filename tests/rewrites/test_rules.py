"""Every rewriting on random graphs: empty, isolated nodes, duplicate edges, self loops; equal to the file as it was."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.onnx_graph.passes.exporter_fixes import fix
from portinf.rewrites import RULES, Rule, rewrite
from portinf.rewrites.linear_layer import linear_layers
from tests.rewrites.graph_layers import BODIES, graph, layer

FOLDER = Path(tempfile.mkdtemp(prefix="portinf-test-rules-"))
SCORES, TOWERS, CHAIN = {"attention scores", "attention scores, mended"}, {"towers of one"}, {"two linear layers in a row"}
SOFTMAX = "edge network, softmax over a node's edges"
AMAX = "edge network, maximum as PyTorch writes it"
EDGES = set(BODIES) - SCORES - CHAIN - TOWERS
PLACES = {  # rule -> layers that it changes
    "before rows are gathered": TOWERS,
    "as linear layers": SCORES,
    "before the gather": EDGES,
    "after the sum": EDGES - {"edge network, maximum", AMAX, SOFTMAX},
    "joined": CHAIN,
    "a constant start": {SOFTMAX},
    "in one column": {AMAX, SOFTMAX},
    "row by row": EDGES | TOWERS,
    "flat": EDGES | TOWERS,
}
SEVERAL = {
    ("row by row", AMAX): 2,
    ("flat", AMAX): 2,
    ("row by row", SOFTMAX): 4,
    ("flat", SOFTMAX): 4,
}  # places, where there is more than one


def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def rule_of(words: str) -> Rule:
    return next(rule for rule in RULES if rule.name.endswith(words))


@functools.cache
def pair(name: str, words: str) -> tuple[Any, Any]:
    """Return sessions of the layer and of the layer rewritten; words join rules with +."""
    path = layer(name, FOLDER / f"{abs(hash((name, words)))}.onnx")
    before = session(path)
    for number, part in enumerate(words.split("+")):
        out = path.with_suffix(f".{number}.onnx")
        if rewrite(rule_of(part), path, out):
            path = out
    onnx.checker.check_model(str(path), full_check=True)
    return before, session(path)


@pytest.mark.parametrize("words", PLACES)
@pytest.mark.parametrize("name", BODIES)
def test_a_rule_finds_its_places_and_no_others(name: str, words: str, tmp_path: Path) -> None:
    source = layer(name, tmp_path / "a.onnx")
    before = source.read_bytes()
    assert rewrite(rule_of(words), source, tmp_path / "b.onnx") == (
        SEVERAL.get((words, name), 1) if name in PLACES[words] else 0
    )
    assert (tmp_path / "b.onnx").exists() == (name in PLACES[words])
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    "words", [*PLACES, "before the gather+after the sum+row by row", "before the gather+after the sum+flat", "+".join(PLACES)]
)
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.integers(1, 30), st.integers(0, 80), st.integers(0, 1000))
def test_equal_on_any_graph(words: str, name: str, nodes: int, edges: int, seed: int) -> None:
    before, after = pair(name, words)
    given_graph = graph(nodes, edges, seed)
    (expected,) = before.run(None, given_graph)
    (found,) = after.run(None, given_graph)
    exact = all(rule_of(part).guarantee == "exact" for part in words.split("+"))
    if exact:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * max(1.0, float(np.abs(expected).max(initial=0))))


def test_weights_of_equal_rows_are_added_up(tmp_path: Path) -> None:
    """concat(x_i, x_j - x_i, attr): one product for each end and one for the attributes, not four."""
    assert rewrite(rule_of("before the gather"), layer("edge network, sum", tmp_path / "a.onnx"), tmp_path / "b.onnx") == 1
    nodes = onnx.load(str(tmp_path / "b.onnx")).graph.node
    first = [node for node in nodes if node.op_type == "Gemm" and "per_node" in node.output[0]]
    assert [node.input[0] for node in first] == ["x", "x", "attr"]
    assert sum(len(node.input) == 3 for node in first) == 1  # the bias, once
    assert not [node for node in nodes if node.op_type in ("Sub", "Concat") and node.output[0] in ("step", "both")]


@pytest.mark.parametrize(("shape", "found"), [((16,), 1), ((1, 16), 1), ((16, 1), 0), ((1,), 1)])
def test_a_bias_by_row_is_no_linear_layer(shape: tuple[int, ...], found: int) -> None:
    """A column of numbers may happen to be as long as a row of the output."""
    value, tensor, weights = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT, onnx.numpy_helper.from_array
    node = onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    given_weights = [weights(np.ones((3, 16), np.float32), "w"), weights(np.ones(shape, np.float32), "b")]
    ends = [value("x", tensor, [16, 3])], [value("y", tensor, [16, 16])]
    proto = onnx.helper.make_model(onnx.helper.make_graph([node], "g", *ends, given_weights), ir_version=8)
    assert len(linear_layers(onnx_ir.from_proto(proto))) == found


def test_a_value_of_unknown_type_is_taken_over(tmp_path: Path) -> None:
    """Shape inference does not read lengths of padding that a list holds, and so types nothing behind it."""
    model = onnx.load(str(layer("attention scores, mended", tmp_path / "a.onnx")))
    ends = next(node for node in model.graph.node if node.output[0] == "ends")
    ends.CopyFrom(onnx.helper.make_node("Constant", [], ["ends"], value_ints=[0, 0, 0, 0, 0, 1]))
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert rewrite(rule_of("as linear layers"), tmp_path / "a.onnx", tmp_path / "b.onnx") == 1
    assert session(tmp_path / "b.onnx").run(None, graph(5, 7, 1))[0].shape == (5, 12)


@pytest.mark.parametrize("change", ["read by other rows", "an output"])
def test_a_maximum_that_others_read_keeps_its_start(change: str, tmp_path: Path) -> None:
    model = onnx.load(str(layer(SOFTMAX, tmp_path / "a.onnx")))
    if change == "an output":
        model.graph.output.append(onnx.helper.make_tensor_value_info("top", onnx.TensorProto.FLOAT, ["n", 12]))
    else:
        next(node for node in model.graph.node if node.output[0] == "back").input[1] = "from"
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert rewrite(rule_of("a constant start"), tmp_path / "a.onnx", tmp_path / "b.onnx") == 0


def test_a_layer_that_is_used_elsewhere_stays(tmp_path: Path) -> None:
    model = onnx.load(str(layer("edge network, sum", tmp_path / "a.onnx")))
    model.graph.output.append(onnx.helper.make_tensor_value_info("message", onnx.TensorProto.FLOAT, ["e", 12]))
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert rewrite(rule_of("after the sum"), tmp_path / "a.onnx", tmp_path / "b.onnx") == 0


def test_a_scatter_of_fewer_columns_is_refused_aloud(tmp_path: Path) -> None:
    """Rows of updates that are shorter than those of the data: ScatterElements takes them, ScatterND says no."""
    model = onnx.load(str(layer("edge network, sum", tmp_path / "a.onnx")))
    wide = next(node for node in model.graph.node if node.output[0] == "width")
    wide.attribute[0].ints[0] = 14
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 14
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert rewrite(rule_of("row by row"), tmp_path / "a.onnx", tmp_path / "b.onnx") == 1
    with pytest.raises(Exception, match=r"ScatterND|updates"):
        session(tmp_path / "b.onnx").run(None, graph(5, 7, 1))


def test_a_scatter_that_conversion_fixed_is_found(tmp_path: Path) -> None:
    """ScatterND with a sum -> flat ScatterElements on conversion -> ScatterND again, where one thread is promised."""
    value, tensor = onnx.helper.make_tensor_value_info, onnx.TensorProto
    nodes = [onnx.helper.make_node("ScatterND", ["d", "i", "u"], ["y"], reduction="add")]
    ends = [value("d", tensor.FLOAT, ["n", 12]), value("i", tensor.INT64, ["e", 1]), value("u", tensor.FLOAT, ["e", 12])]
    graph_proto = onnx.helper.make_graph(nodes, "g", ends, [value("y", tensor.FLOAT, ["n", 12])])
    model = onnx.helper.make_model(graph_proto, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(tmp_path / "nd.onnx"))
    assert fix(model)
    onnx.save(model, str(tmp_path / "mended.onnx"))
    assert rewrite(rule_of("flat"), tmp_path / "mended.onnx", tmp_path / "flat.onnx") == 0
    assert rewrite(rule_of("row by row"), tmp_path / "mended.onnx", tmp_path / "again.onnx") == 1
    assert [node.op_type for node in onnx.load(str(tmp_path / "again.onnx")).graph.node] == ["ScatterND"]
    rng = np.random.default_rng(1)
    arrays = {"d": rng.normal(size=(5, 12)), "u": rng.normal(size=(9, 12))}
    inputs = {**{k: v.astype(np.float32) for k, v in arrays.items()}, "i": rng.integers(-5, 5, (9, 1))}
    expected = session(tmp_path / "nd.onnx").run(None, inputs)[0]
    for name in ("mended", "again"):
        np.testing.assert_array_equal(session(tmp_path / f"{name}.onnx").run(None, inputs)[0], expected)
