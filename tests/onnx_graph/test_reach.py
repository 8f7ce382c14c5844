"""Which inputs the numbers of an output depend on."""

from __future__ import annotations

import onnx

from portinf.onnx_graph.reach import reach

TEXT = """<ir_version: 8, opset_import: ["" : 18]>
g (double[n] p, float[n] w, float[n] unused, bool flag) => (double[n] m, float[n] h, int64[1] s, double[n] k, double[n] c) {
    v = Cast <to: int = 11> (w)
    m = Mul (p, v)
    h = Neg (w)
    s = Shape (unused)
    k = If (flag) <
        then_branch: graph = a () => (double[n] t) { t = Mul (p, p) },
        else_branch: graph = b () => (double[n] e) { e = Cast <to: int = 11> (w) }
    >
    c = ConstantOfShape <value: tensor = double[1] {1}> (s)
}"""


def test_the_shape_alone_is_no_dependence_and_branches_are_followed() -> None:
    found = reach(onnx.parser.parse_model(TEXT).graph)
    assert found == {"m": {"p", "w"}, "h": {"w"}, "s": set(), "k": {"p", "w", "flag"}, "c": set()}
