"""A precision -> the nodes that it concerns, and the files for any choice of those that stay in float32."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from portinf.core.errors import CannotError
from portinf.mixed_precision.half_precision import Kind, lower_graph
from portinf.mixed_precision.int8 import Flavour, count_quantised, quantisable, quantise
from portinf.mixed_precision.model import save_whole
from portinf.mixed_precision.quantized_nodes import HEAVY, MOVED, find_places
from portinf.mixed_precision.ranges import Ranges
from portinf.mixed_precision.suspects import find_suspects, headroom

if TYPE_CHECKING:
    import onnx


__all__ = ["HalfRecipe", "IntegerRecipe", "Level", "Recipe"]

Level = Literal["none", "all"]
NEAR = 0.5  # of the largest number of the type: said
_NAMES = {"fp16": "float16", "bf16": "bfloat16"}
_DELICATE = frozenset(
    """Softmax LogSoftmax LayerNormalization InstanceNormalization GroupNormalization BatchNormalization ReduceMean ReduceSum Pow
    Exp Log Sqrt Reciprocal Div Softplus ReduceLogSum""".split()  # noqa: SIM905
)


class Recipe(Protocol):
    """What a search needs to know of one precision.

    Attributes:
        nodes: that could be lowered, in the graph's order.
        heavy: those of them that take the time.
        guess: the reason by the name of each node that is to stay in float32 from the start.
        delicate: nodes that often have to.
        notes: what stays in float32 by rule, and other remarks.
        runs_here: ONNX Runtime's CPU has kernels for what is written; of bfloat16 it has few.
    """

    nodes: Sequence[str]
    heavy: frozenset[str]
    guess: Mapping[str, str]
    delicate: Sequence[str]
    notes: Sequence[str]
    runs_here: bool

    def named(self, operator: str) -> list[str]:
        """Return the nodes of an operator that could be lowered and are not in the guess."""
        ...

    def emulation(self, islands: Collection[str], path: Path) -> tuple[Path, Level]:
        """Write what shows the errors of this choice, and say at which level ONNX Runtime is to run it."""
        ...

    def write(self, islands: Collection[str], path: Path) -> tuple[Path, int]:
        """Write the file of this choice; return it and the number of nodes that were lowered."""
        ...


class HalfRecipe:
    """fp16 and bf16: shown by a float32 graph that rounds where the file does.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        ranges: of its tensors.
        kind: ``fp16`` or ``bf16``.

    Raises:
        CannotError: there is no matrix product or convolution that the type takes.
    """

    def __init__(self, model: onnx.ModelProto, ranges: Ranges, kind: Kind) -> None:
        self._model, self._kind = model, kind
        self.runs_here = kind == "fp16"
        self._places, kept = find_places(model, _NAMES[kind])
        operators = {node.name: node.op_type for node in model.graph.node}
        self.nodes: Sequence[str] = [place.name for place in self._places]
        self.heavy = frozenset(place.name for place in self._places if place.operator in HEAVY)
        if not self.heavy:
            no_type = [name for name, why in kept.items() if operators[name] in HEAVY]
            found = ", ".join(sorted(set(operators.values())))
            why = f": {operators[no_type[0]]}: {kept[no_type[0]]}" if no_type else f"; it has {found}"
            raise CannotError(f"{kind}: there is no {', '.join(HEAVY[:-1])} to compute in {_NAMES[kind]}{why}")
        self.guess: Mapping[str, str] = find_suspects(model, self._places, ranges, kind)
        self.delicate: Sequence[str] = [place.name for place in self._places if place.operator in _DELICATE]
        self.notes: Sequence[str] = [*_kept_notes(kept, operators), *self._near(ranges)]

    def named(self, operator: str) -> list[str]:
        """Return the nodes of an operator that could be lowered and are not in the guess."""
        return [place.name for place in self._places if place.operator == operator and place.name not in self.guess]

    def _near(self, ranges: Ranges) -> list[str]:
        lowered = [place for place in self._places if place.name not in self.guess]
        name, share = headroom(lowered, ranges, self._kind)
        if share < NEAR:
            return []
        return [f"{self._kind}: the samples reach {share:.0%} of the largest number at '{name}': larger inputs may overflow"]

    def emulation(self, islands: Collection[str], path: Path) -> tuple[Path, Level]:
        """Write the rounding graph; ``all`` would keep its casts too."""
        return save_whole(lower_graph(self._model, self._lowered(islands), self._kind, emulate=True), path), "none"

    def write(self, islands: Collection[str], path: Path) -> tuple[Path, int]:
        """Write the half-precision graph."""
        lowered = self._lowered(islands)
        return save_whole(lower_graph(self._model, lowered, self._kind), path), len(lowered)

    def _lowered(self, islands: Collection[str]) -> list[Any]:
        return [place for place in self._places if place.name not in islands]


class IntegerRecipe:
    """int8: the file shows its errors itself, to TensorRT's recipe without ONNX Runtime's rewritings.

    What adds, pools or moves goes with the product before it: in int8 or not.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        ranges: of its tensors, on samples.
        flavour: of the recipe.

    Raises:
        CannotError: there is nothing to quantise.
    """

    def __init__(self, model: onnx.ModelProto, ranges: Ranges, flavour: Flavour) -> None:
        self._model, self._ranges, self._flavour = model, ranges, flavour
        self.runs_here = True
        nodes, weighted = quantisable(model, ranges, flavour)
        self.nodes: Sequence[str] = weighted
        self._with = _followers(nodes, weighted)
        self.heavy = frozenset(weighted)
        self.guess: Mapping[str, str] = {}
        self.delicate: Sequence[str] = [weighted[0], weighted[-1]] if len(weighted) > 2 else []
        self.notes: Sequence[str] = [
            f"int8: ranges of the activations from {ranges.batches} batches; values beyond them are cut off"
        ]

    def named(self, operator: str) -> list[str]:
        """Return none: what moves goes with a product."""
        return []

    def emulation(self, islands: Collection[str], path: Path) -> tuple[Path, Level]:
        """Write the file itself."""
        return self.write(islands, path)[0], "all" if self._flavour == "cpu" else "none"

    def write(self, islands: Collection[str], path: Path) -> tuple[Path, int]:
        """Write the quantised graph.

        Raises:
            CannotError: the quantiser left every weight as it was.
        """
        made = quantise(
            self._model, self._ranges, [name for name, leader in self._with.items() if leader not in islands], self._flavour
        )
        count = count_quantised(made)
        if not count and self.heavy - set(islands):
            raise CannotError(
                f"int8: the quantiser did not quantise any of {len(self.heavy - set(islands))} nodes and gave no error"
            )
        return save_whole(made, path), count


def _followers(nodes: Sequence[str], weighted: Sequence[str]) -> dict[str, str]:
    """Return each node with the last product before it, in the graph's order; those before the first go with the first."""
    products, leader, found = frozenset(weighted), weighted[0], {}
    for name in nodes:
        leader = name if name in products else leader
        found[name] = leader
    return found


def _kept_notes(kept: Mapping[str, str], operators: Mapping[str, str]) -> Iterable[str]:
    by_reason: dict[str, list[str]] = {}
    for name, why in kept.items():
        by_reason.setdefault(why, []).append(operators[name])
    for why, found in by_reason.items():
        if why == MOVED:
            continue
        kinds = ", ".join(sorted(set(found)))
        yield f"{len(found)} node{'s' * (len(found) != 1)} in float32 by rule ({kinds}): {why}"
