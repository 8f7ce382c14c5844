"""Requests outside the samples' range keep to types, roles and the user's ranges, and are few where one is costly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.probing.requests import Probe, Space, far_probes, general_probes, infinite_probes, integer_probes, nan_probes


def _spec(name: str, dtype: str, role: Role | None = None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(Axis(label="n"), Axis(size=3)), role=role or Role())


def _space(**more: object) -> Space:
    rng = np.random.default_rng(0)
    specs = (
        _spec("x", "float32"),
        _spec("h", "float16"),
        _spec("k", "int64"),
        _spec("b", "uint8"),
        _spec("edge", "int64", Role(kind="index", of="n")),
        _spec("m", "bool", Role(kind="mask", of="n")),
    )
    base = {
        "x": rng.normal(size=(4, 3)).astype(np.float32),
        "h": rng.normal(size=(4, 3)).astype(np.float16),
        "k": rng.integers(0, 9, (4, 3)),
        "b": rng.integers(200, 250, (4, 3)).astype(np.uint8),
        "edge": rng.integers(0, 4, (4, 3)),
        "m": np.ones((4, 3), bool),
    }
    base["x"][-1] = 0  # padding
    return Space(signature=Signature(inputs=specs, outputs=()), base=base, **more)  # type: ignore[arg-type]


def _all(space: Space) -> list[Probe]:
    whole = [probe for name in space.integers for alternatives in integer_probes(space, name) for probe in alternatives]
    return [*general_probes(space), *far_probes(space), *nan_probes(space), *infinite_probes(space), *whole]


def _moved(probes: Iterable[Probe]) -> set[str]:
    return {name for probe in probes for name in probe.moved}


def test_types_roles_and_padding_stay() -> None:
    space = _space()
    for probe in _all(space):
        assert {name: (a.dtype, a.shape) for name, a in probe.inputs.items()} == {
            n: (a.dtype, a.shape) for n, a in space.base.items()
        }
        assert all(np.array_equal(probe.inputs[name], space.base[name]) for name in ("edge", "m"))
        assert not probe.inputs["x"][-1].any()
        assert np.isfinite(probe.inputs["h"]).all() or probe.kind in ("nan", "infinite")
        assert not probe.ordinary or np.abs(probe.inputs["x"]).max() <= 1e4
    assert _moved(_all(space)) == {"x", "h", "k", "b"}


def test_far_out_lie_both_signs_zero_tiny_and_single_columns() -> None:
    space = _space()
    values = [probe.inputs["x"][:-1] for probe in far_probes(space)]
    assert any((x > 0).all() and x.max() > 9999 for x in values)
    assert any((x < 0).all() and x.min() < -9999 for x in values)
    assert any((x == 0).all() for x in values)
    assert any(0 < np.abs(x).max() <= 1e-8 for x in values)
    columns = [np.unique(np.nonzero(x != space.base["x"][:-1])[1]) for x in values]
    assert {0, 1, 2} <= {int(c) for found in columns for c in found}
    assert sum(bool((x < 0).any()) for x in values) > 3


def test_the_users_range_bounds_everything() -> None:
    space = _space(ranges={"x": (-5.0, 8.0), "k": (0.0, 12.0)})
    for probe in _all(space):
        assert probe.inputs["x"].min() >= -5
        assert probe.inputs["x"].max() <= 8
        assert probe.inputs["k"].min() >= 0
        assert probe.inputs["k"].max() <= 12
    assert {"x", "k"} <= _moved(_all(space))
    ends = {float(value) for probe in _all(space) for value in (probe.inputs["x"].min(), probe.inputs["x"].max())}
    assert {-5.0, 8.0} <= ends


def test_what_becomes_a_length_stays_small() -> None:
    space = _space(sized=frozenset({"x", "h", "k"}))
    assert "x" not in _moved(_all(space))
    assert max(int(probe.inputs["k"].max()) for probe in _all(space)) < 20


def test_a_model_with_loops_is_not_asked_what_might_never_end() -> None:
    space = _space(loops=True)
    assert {probe.kind for probe in _all(space)} <= {"far", "tie", "integer"}
    assert min(int(probe.inputs["k"].min()) for probe in _all(space)) >= 0


def test_whole_numbers_become_negative_and_leave_what_was_seen() -> None:
    space = _space()
    tried = [probe.inputs["k"] for alternatives in integer_probes(space, "k") for probe in alternatives]
    assert any((k < 0).all() for k in tried)
    assert any((k[:, 0] < 0).all() and (k[:, 1:] >= 0).all() for k in tried)
    assert any(k.min() > 8 for k in tried)
    assert any(k.max() > 2**24 for k in tried)
    assert [probe.inputs["b"].max() for alternatives in integer_probes(space, "b") for probe in alternatives] == [0]


@pytest.mark.parametrize("costly", [False, True])
def test_a_costly_model_is_asked_less(costly: bool) -> None:
    space = replace(_space(), costly=costly)
    assert (len(general_probes(space)) == 1) == costly
    assert (len(list(nan_probes(space))) == 1) == costly
    assert (len(list(infinite_probes(space))) == 0) == costly
    assert (len(list(far_probes(space))) < 8) == costly
