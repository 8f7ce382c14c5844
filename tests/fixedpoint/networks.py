"""A network with every kind of layer and awkward formats, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from portinf.fixedpoint import tables
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import Input, Layer, Network

F = Format.parse


class Maker:
    """Collects layers; weights are drawn anywhere on their grid, so that sums wrap and saturate."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []

    def add(self, kind: str, inputs: str, shape: tuple[int, ...], result: str, **more: Any) -> str:
        """Add a layer, and return its name."""
        name = f"{kind}_{len(self.layers)}"
        formats = {role: F(text) for role, text in more.pop("formats", {}).items()}
        drawn = {role: self.draw(formats[role], size) for role, size in more.pop("drawn", {}).items()}
        numbers = {**drawn, **more.pop("numbers", {})}
        self.layers.append(
            Layer(
                name=name,
                kind=kind,
                inputs=tuple(inputs.split()),
                shape=shape,
                result=F(result),
                formats=formats,
                numbers=numbers,
                options=more,
            )
        )
        return name

    def draw(self, format: Format, size: tuple[int, ...]) -> Any:
        """Draw raw numbers: most of them small, some anywhere."""
        small = np.rint(self.rng.normal(size=size) * 0.4 / format.step).astype(np.int64)
        anywhere = self.rng.integers(format.low, format.high + 1, size)
        return np.clip(np.where(self.rng.random(size) < 0.1, anywhere, small), format.low, format.high)


def everything() -> Network:
    """Return a network of two inputs and three outputs: images of 7 x 6 x 3 and rows of 10."""
    m = Maker(5)
    conv = m.add(
        "conv",
        "image",
        (4, 3, 5),
        "ap_fixed<12,5,AP_RND,AP_SAT>",
        formats={"weight": "ap_fixed<9,2>", "bias": "ap_fixed<10,3>", "accum": "ap_fixed<20,6>"},
        drawn={"weight": (3, 3, 3, 5), "bias": (5,)},
        strides=[2, 2],
        pads=[[1, 1], [0, 1]],
    )
    leaky = m.add(
        "leaky_relu",
        conv,
        (4, 3, 5),
        "ap_fixed<13,4>",
        formats={"alpha": "ap_fixed<18,1>"},
        numbers={"alpha": np.array(37_013)},
    )
    largest = m.add(
        "pool", leaky, (2, 2, 5), "ap_fixed<13,4>", formats={"accum": "ap_fixed<13,4>"}, operation="max", window=[2, 2],
        strides=[2, 2], pads=[[0, 0], [0, 1]], count_pad=False, inside=[4, 3],
    )  # fmt: skip
    mean = m.add(
        "pool", leaky, (2, 2, 5), "ap_fixed<11,4>", formats={"accum": "ap_fixed<16,6>"}, operation="average", window=[3, 2],
        strides=[2, 2], pads=[[1, 0], [0, 1]], count_pad=False, inside=[4, 3],
    )  # fmt: skip
    both = m.add("add", f"{largest} {mean}", (2, 2, 5), "ap_fixed<10,3,AP_RND_CONV>")
    turned = m.add("transpose", both, (5, 2, 2), "ap_fixed<10,3,AP_RND_CONV>", order=[2, 0, 1])
    flat = m.add("reshape", turned, (20,), "ap_fixed<10,3,AP_RND_CONV>")
    relu = m.add("relu", flat, (20,), "ap_ufixed<8,3,AP_RND_INF,AP_SAT>")
    whole = m.add(
        "pool", leaky, (5,), "ap_fixed<12,4>", formats={"accum": "ap_fixed<17,8>"}, operation="average", window=[4, 3],
        strides=[4, 3], pads=[[0, 0], [0, 0]], count_pad=False, inside=[4, 3], whole=True,
    )  # fmt: skip
    wide = m.add(
        "dense", relu, (12,), "ap_fixed<14,6,AP_TRN_ZERO>",
        formats={"weight": "ap_fixed<10,3>", "bias": "ap_ufixed<9,4>", "accum": "ap_fixed<18,4>"},
        drawn={"weight": (20, 12), "bias": (12,)},
    )  # fmt: skip
    narrow = m.add(
        "dense", "row", (12,), "ap_fixed<12,5,AP_RND_ZERO,AP_SAT_SYM>",
        formats={"weight": "ap_fixed<8,2>", "bias": "ap_fixed<8,2>", "accum": "ap_fixed<11,5,AP_RND,AP_SAT>"},
        drawn={"weight": (10, 12), "bias": (12,)},
    )  # fmt: skip
    coarse = m.add(
        "dense", "row", (5,), "ap_fixed<12,5,AP_RND_MIN_INF>",
        formats={"weight": "ap_fixed<8,2>", "bias": "ap_fixed<8,2>", "accum": "ap_fixed<12,6>"},
        drawn={"weight": (10, 5), "bias": (5,)},
    )  # fmt: skip
    product = m.add("multiply", f"{wide} {narrow}", (12,), "ap_fixed<16,7>")
    less = m.add("subtract", f"{product} {narrow}", (12,), "ap_fixed<14,6>")
    norm = m.add(
        "scale", less, (12,), "ap_fixed<13,4,AP_RND,AP_SAT>", formats={"scale": "ap_fixed<9,2>", "bias": "ap_fixed<14,3>"},
        drawn={"scale": (12,), "bias": (12,)},
    )  # fmt: skip
    tanh = m.add(
        "table", norm, (12,), "ap_fixed<11,2>", formats={"table": "ap_fixed<14,1,AP_RND,AP_SAT>"},
        numbers={"table": tables.tanh(2048, F("ap_fixed<14,1,AP_RND,AP_SAT>"))}, span=8, function="tanh",
    )  # fmt: skip
    sigmoid = m.add(
        "table", coarse, (5,), "ap_ufixed<10,1>", formats={"table": "ap_fixed<18,8>"},
        numbers={"table": tables.sigmoid(1024, F("ap_fixed<18,8>"))}, span=16, function="sigmoid",
    )  # fmt: skip
    m.add("concatenate", f"{tanh} {sigmoid}", (17,), "ap_fixed<12,3>", axis=0)
    formats = {"exp": "ap_fixed<17,3,AP_RND,AP_SAT>", "accum": "ap_fixed<17,5,AP_RND,AP_SAT>"}
    formats |= {"sum": "ap_ufixed<13,4,AP_RND,AP_SAT>", "inverse": "ap_fixed<16,4,AP_RND,AP_SAT>"}
    inverse = tables.reciprocals(F(formats["sum"]), 1024, F(formats["inverse"]))
    norms = "ap_ufixed<11,4,AP_RND,AP_SAT>"
    exps = tables.exponentials(F(norms), 2048, F(formats["exp"]), negative=True)
    m.add(
        "softmax", whole, (5,), "ap_ufixed<10,1>", formats={**formats, "norm": norms},
        numbers={"exp": exps, "inverse": inverse}, implementation="stable",
    )  # fmt: skip
    exps = tables.exponentials(F("ap_fixed<12,5>"), 1024, F(formats["exp"]), negative=False)
    m.add(
        "softmax", coarse, (5,), "ap_fixed<16,6>", formats=formats, numbers={"exp": exps, "inverse": inverse},
        implementation="latency",
    )  # fmt: skip
    m.add("softmax", whole, (5,), "ap_fixed<5,3>", implementation="argmax")
    outputs = {f"out_{k}": layer.name for k, layer in enumerate(m.layers) if layer.kind in ("concatenate", "softmax")}
    return Network(
        inputs=(
            Input(name="image", shape=(3, 7, 6), axes=(1, 2, 0), format=F("ap_fixed<11,4>")),
            Input(name="row", shape=(10,), axes=(0,), format=F("ap_fixed<10,3,AP_RND,AP_SAT>")),
        ),
        layers=tuple(m.layers),
        outputs=outputs,
    )


def sequence() -> Network:
    """Return a network over one axis: sequences of 9 steps with 2 channels, and a dense layer at every step."""
    m = Maker(6)
    conv = m.add(
        "conv", "steps", (9, 4), "ap_fixed<13,5,AP_RND>",
        formats={"weight": "ap_fixed<9,2>", "bias": "ap_fixed<9,2>", "accum": "ap_fixed<24,9>"},
        drawn={"weight": (3, 2, 4), "bias": (4,)}, strides=[1], pads=[[1, 1]],
    )  # fmt: skip
    relu = m.add("relu", conv, (9, 4), "ap_ufixed<12,4>")
    each = m.add(
        "dense", relu, (9, 3), "ap_fixed<13,5>",
        formats={"weight": "ap_fixed<9,2>", "bias": "ap_fixed<9,2>", "accum": "ap_fixed<24,9>"},
        drawn={"weight": (4, 3), "bias": (3,)},
    )  # fmt: skip
    mean = m.add(
        "pool", each, (5, 3), "ap_fixed<13,5>", formats={"accum": "ap_fixed<16,7>"}, operation="average", window=[2],
        strides=[2], pads=[[1, 0]], count_pad=True, inside=[9],
    )  # fmt: skip
    norm = m.add(
        "scale", mean, (5, 3), "ap_fixed<12,5>", formats={"scale": "ap_fixed<8,2>", "bias": "ap_fixed<8,2>"},
        drawn={"scale": (3,), "bias": (3,)},
    )  # fmt: skip
    m.add(
        "pool", norm, (3,), "ap_fixed<12,5>", formats={"accum": "ap_fixed<12,5>"}, operation="max", window=[5],
        strides=[5], pads=[[0, 0]], count_pad=False, inside=[5], whole=True,
    )  # fmt: skip
    steps = Input(name="steps", shape=(2, 9), axes=(1, 0), format=F("ap_fixed<12,4>"))
    return Network(inputs=(steps,), layers=tuple(m.layers), outputs={"out": m.layers[-1].name})
