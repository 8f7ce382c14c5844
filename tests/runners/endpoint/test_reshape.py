"""Shapes on the wire and shapes of the model."""

from __future__ import annotations

import pytest

from portinf.runners.endpoint.reshape import Reshape


@pytest.mark.parametrize(
    ("wire", "model", "sent", "seen"),
    [((1,), (), (5, 1), (5,)), ((-1, 3), (3, -1), (5, 7, 3), (5, 3, 7)), ((6,), (2, 3), (0, 6), (0, 2, 3))],
)
def test_reshapes(wire: tuple[int, ...], model: tuple[int, ...], sent: tuple[int, ...], seen: tuple[int, ...]) -> None:
    both = Reshape(wire=wire, model=model, batched=True)
    assert both.to_model(sent) == seen and both.to_wire(seen) == sent
    assert both.to_wire((9, 9, 9, 9, 9)) == (9, 9, 9, 9, 9)
