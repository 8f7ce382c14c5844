"""Shapes of an engine: ordered, tied, with every sample inside, whatever the signature."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.errors import CannotError, UsageError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.targets.tensorrt.profiles import Profile, Span, parse_span, profile_of

AXES = {
    "batch": Axis(label="batch"),
    "nodes": Axis(label="nodes", minimum=2),
    "edges": Axis(label="edges"),
    "window": Axis(label="window", minimum=3, multiple=4),
    "tracks": Axis(label="tracks", maximum=500),
    "fixed": Axis(size=7),
}


def spec(name: str, *axes: str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=tuple(AXES[axis] for axis in axes))


def signature(*inputs: TensorSpec) -> Signature:
    return Signature(inputs=inputs, outputs=())


@st.composite
def cases(draw: st.DrawFn) -> tuple[Signature, list[dict[str, int]], int]:
    names = st.lists(st.sampled_from(list(AXES)), min_size=1, max_size=3)
    batching = draw(st.booleans())
    shapes = [draw(names) for _ in range(draw(st.integers(1, 3)))]
    if batching:
        shapes = [["batch", *(axis for axis in shape if axis != "batch")] for shape in shapes]
    made = signature(*(spec(f"in{k}", *shape) for k, shape in enumerate(shapes)))
    size = draw(st.integers(1, 64)) if batching else 0
    samples = []
    for _ in range(draw(st.integers(0, 4))):
        lengths = {}
        for label, axis in made.axes.items():
            top = size if batching and label == "batch" else 400
            requested = max(draw(st.integers(0 if label != "batch" or not batching else 1, top)), axis.minimum)
            lengths[label] = -(-requested // axis.multiple) * axis.multiple
        samples.append(lengths)
    return made, samples, size


@given(cases())
@settings(max_examples=150, deadline=None)
def test_the_rule_holds_for_any_signature(case: tuple[Signature, list[dict[str, int]], int]) -> None:
    made, samples, size = case
    profile = profile_of(made, samples, size, {})
    least, usual, most = (profile.sizes(which) for which in ("min", "opt", "max"))
    for label, axis in made.axes.items():
        assert axis.minimum <= least[label] <= usual[label] <= most[label] and most[label] >= 1
        assert all(n % axis.multiple == 0 for n in (least[label], usual[label], most[label]))
        assert all(least[label] <= lengths[label] <= most[label] for lengths in samples)
        assert usual[label] >= 1
        assert axis.maximum is None or most[label] <= axis.maximum
    if size:
        assert (least["batch"], most["batch"]) == (1, size)
    for which in ("min", "opt", "max"):
        shapes = profile.shapes(which)
        assert set(shapes) == {one.name for one in made.inputs if one.labels}
        assert made.sizes(shapes) == profile.sizes(which)  # raises where tied axes differ, or a fixed length is another


def test_the_text_is_what_trtexec_reads() -> None:
    made = signature(spec("images", "batch", "fixed"), spec("still", "fixed"), spec("a:0", "batch"))
    profile = profile_of(made, [], 8, {})
    assert [profile.text(which) for which in ("min", "opt", "max")] == [
        "images:1x7,a:0:1",
        "images:8x7,a:0:8",
        "images:8x7,a:0:8",
    ]


def test_graph_networks_have_ranges_of_nodes_and_edges() -> None:
    made = signature(spec("x", "nodes", "fixed"), spec("e", "edges"))
    profile = profile_of(made, [{"nodes": 10, "edges": 0}, {"nodes": 30, "edges": 50}], 0, {})
    assert {label: str(span) for label, span in profile.spans.items()} == {"nodes": "2:30:60", "edges": "0:50:100"}
    assert not any(span.guessed for span in profile.spans.values())


def test_without_samples_the_rule_is_told() -> None:
    profile = profile_of(signature(spec("x", "nodes"), spec("w", "window")), [], 0, {})
    assert profile.spans == {
        "nodes": Span(min=2, opt=32, max=128, guessed=True),
        "window": Span(min=4, opt=32, max=128, guessed=True),
    }


def given_span(made: Signature, text: str, samples: list[dict[str, int]], size: int = 0) -> Profile:
    return profile_of(made, samples, size, dict([parse_span(text)]))


def test_a_range_that_the_user_gives_comes_first() -> None:
    profile = given_span(signature(spec("x", "nodes")), "nodes=2:100:5000", [{"nodes": 12}])
    assert str(profile.spans["nodes"]) == "2:100:5000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes=5:4:9", "expected MIN <= OPT <= MAX"),
        ("nodes=1:4:9", "needs at least 2"),
        ("nodes=2:4:9", "a sample has length 12"),
        ("window=4:6:8", "multiples of 4"),
        ("batch=2:4:8", "expected batch=1:...:8"),
        ("batch=1:4:9", "expected batch=1:...:8"),
        ("tracks=1:40:501", "the model is valid up to 500 only"),
        ("hits=1:2:3", "no such axis; there are: batch, nodes, window, tracks"),
        ("nodes", "expected LABEL=MIN:OPT:MAX"),
        ("nodes=1:2", "expected LABEL=MIN:OPT:MAX"),
    ],
)
def test_a_range_that_cannot_be_is_refused(text: str, said: str) -> None:
    made = signature(spec("x", "batch", "nodes"), spec("w", "batch", "window", "tracks"))
    with pytest.raises(UsageError, match=None) as caught:
        given_span(made, text, [{"batch": 1, "nodes": 12, "window": 4, "tracks": 9}], 8)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["a,b", "it's", 'quo"te', "a*"])
def test_names_that_trtexec_cannot_be_given(name: str) -> None:
    with pytest.raises(CannotError, match="--input-name"):
        profile_of(signature(spec(name, "nodes")), [], 0, {})


def test_an_unknown_rank_is_refused() -> None:
    unknown: Any = TensorSpec(name="x", dtype="float32", shape=None)
    with pytest.raises(CannotError, match="rank is not known"):
        profile_of(signature(unknown), [], 0, {})
