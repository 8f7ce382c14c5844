"""What the samples hold constant: floats vary in a made case, of the rest it is said that nothing was tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from portinf.core.batch import Array, Batch
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.samples.edge_cases import edge_cases, never_varied

N, L = Axis(label="n"), Axis(label="L")
X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def signature(**inputs: Any) -> Signature:
    specs = [TensorSpec(name=name, dtype=dtype, shape=shape, role=role) for name, (dtype, shape, role) in inputs.items()]
    return Signature(inputs=tuple(specs), outputs=())


def varied(given: Signature, *samples: dict[str, Array], **ranges: tuple[float, float]) -> dict[str, Array] | None:
    batches = [Batch(name="s", inputs=sample) for sample in samples]
    found = [case for case in edge_cases(given, batches, ranges) if case.name == "generated, constant inputs varied"]
    assert len(found) <= 1 and all(case.origin == "generated" for case in found)
    return found[0].inputs if found else None


ONE = signature(x=("float32", (N, Axis(size=3)), Role()), w=("float32", (N, Axis(size=1)), Role()))


def test_a_weight_of_one_becomes_none_in_some_rows() -> None:
    found = varied(ONE, {"x": X, "w": np.ones((50, 1), np.float32)})
    assert found is not None and set(np.unique(found["w"])) == {0.0, 1.0} and found["w"].dtype == np.float32
    np.testing.assert_array_equal(found["x"], X)


def test_other_numbers_change_a_little_and_stay_whole_where_they_are() -> None:
    found = varied(ONE, {"x": X, "w": np.full((50, 1), 25, np.float32)})
    assert found is not None and set(np.unique(found["w"])) == {24.0, 26.0}
    found = varied(ONE, {"x": X, "w": np.full((50, 1), 0.3, np.float32)})
    assert found is not None and 0.28 < found["w"].min() < found["w"].max() < 0.32
    found = varied(ONE, {"x": X, "w": np.full((50, 1), 0.3, np.float32)}, w=(5.0, 6.0))
    assert found is not None and found["w"].min() >= 5.0


def test_a_column_of_zeros_varies_and_the_others_stay() -> None:
    zeros = X.copy()
    zeros[:, 1] = 0
    found = varied(ONE, {"x": zeros, "w": X[:, :1]})
    assert found is not None and set(np.unique(found["x"][:, 1])) == {0.0, 1.0}
    np.testing.assert_array_equal(found["x"][:, [0, 2]], X[:, [0, 2]])


def test_what_varies_in_any_sample_is_left_alone() -> None:
    ones = np.ones((50, 1), np.float32)
    assert varied(ONE, {"x": X, "w": ones}, {"x": X, "w": ones * 2}) is None
    assert varied(ONE, {"x": X, "w": ones * np.float32("nan")}) is None
    assert varied(ONE) is None


def test_a_scalar_of_which_one_value_is_known_varies() -> None:
    given = signature(x=("float32", (N, Axis(size=3)), Role()), t=("float32", (), Role()))
    found = varied(given, {"x": X, "t": np.array(2, np.float32)})
    assert found is not None and found["t"] in (1.0, 3.0) and found["t"].shape == ()


def test_a_mask_of_ones_is_padded_at_the_end_and_never_empty() -> None:
    jets = signature(x=("float32", (N, L), Role()), m=("float32", (N, L), Role()))
    found = varied(jets, {"x": np.random.default_rng(1).normal(size=(40, 6)), "m": np.ones((40, 6), np.float32)})
    assert found is not None and set(np.unique(found["m"])) == {0.0, 1.0}
    assert bool(found["m"][:, 0].all()) and bool((np.diff(found["m"], axis=1) <= 0).all())


def test_roles_are_kept_and_other_types_are_named() -> None:
    given = signature(
        x=("float32", (N, L), Role()),
        m=("float32", (N, L), Role(kind="mask", of="L")),
        k=("int64", (N,), Role()),
        s=("object", (N,), Role()),
        b=("bool", (N,), Role()),
        v=("int64", (N,), Role()),
    )
    sample = {
        "x": np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32),
        "m": np.ones((4, 6), np.float32),
        "k": np.ones(4, np.int64),
        "s": np.array(["mu"] * 4, object),
        "b": np.ones(4, bool),
        "v": np.arange(4),
    }
    assert varied(given, sample) is None
    lines = never_varied(given, [Batch(name="s", inputs=sample)])
    assert [line.partition(":")[0] for line in lines] == [
        "input 'k' is 1 in all samples",
        "input 's' is mu in all samples",
        "input 'b' is True in all samples",
    ]
    assert all("give samples in which it varies" in line for line in lines)
