"""The contract of a rewriting, the list of them, and how one is applied to a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require

__all__ = ["RULES", "Rule", "rewrite"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rewriting.

    Attributes:
        name: as shown in reports.
        guarantee: ``exact`` (the same operations in the same order) or ``reassociated`` (equal in exact arithmetic; rounding may
            differ).
        place: ``module:function`` of a function that changes an ``onnx_ir`` model in place and returns the number of places.
        one_thread: the result is correct on one intra-op thread only; see `portinf.onnx_graph.model_file.needs_one_thread`.
    """

    name: str
    guarantee: Literal["exact", "reassociated"]
    place: str
    one_thread: bool = False

    def function(self) -> Callable[[Any], int]:
        """Return the function."""
        module, _, attribute = self.place.partition(":")
        found: Callable[[Any], int] = getattr(importlib.import_module(module), attribute)
        return found


# In the order in which they are tried: each one finds the forms that exporters write, or that the ones before it leave.
RULES: tuple[Rule, ...] = (
    Rule(
        name="axes of length 1 taken off before rows are gathered",
        guarantee="exact",
        place="portinf.rewrites.squeeze_before_gather:apply",
    ),
    Rule(
        name="weighted sums of groups as linear layers", guarantee="reassociated", place="portinf.rewrites.weighted_sum:apply"
    ),
    Rule(
        name="linear layers moved from edges to nodes, before the gather",
        guarantee="reassociated",
        place="portinf.rewrites.linear_before_gather:apply",
    ),
    Rule(
        name="linear layers moved from edges to nodes, after the sum",
        guarantee="reassociated",
        place="portinf.rewrites.linear_after_sum:apply",
    ),
    Rule(name="linear layers in a row, joined", guarantee="reassociated", place="portinf.rewrites.merge_linear:apply"),
    Rule(
        name="maxima that only their own edges read, from a constant start",
        guarantee="exact",
        place="portinf.rewrites.scatter_start:apply",
    ),
    Rule(name="scatters of one number, in one column", guarantee="exact", place="portinf.rewrites.scatter_constant:apply"),
    Rule(
        name="scatters with one index a row, row by row",
        guarantee="exact",
        place="portinf.rewrites.scatter_rows:apply",
        one_thread=True,
    ),
    Rule(name="scatters with one index a row, flat", guarantee="exact", place="portinf.rewrites.scatter_flat:apply"),
)


def rewrite(rule: Rule, source: Path, out: Path) -> int:
    """Apply a rule to a file and write the result; return the number of places changed, and write nothing for 0.

    Args:
        rule: what to apply.
        source: an ONNX file, its external data beside it.
        out: the file to write; large initializers go into one data file beside it.

    Raises:
        CannotError: the graph holds something that the rule, or the library below it, cannot take.
    """
    try:
        return _rewritten(rule, source, out)
    except Exception as error:
        raise CannotError(f"{rule.name}: {first_line(error)}") from error


def _rewritten(rule: Rule, source: Path, out: Path) -> int:
    onnx, ir = require("onnx", ""), require("onnx_ir", "")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(str(source), load_external_data=False), data_prop=True)
    model = ir.from_proto(inferred)
    ir.external_data.set_base_dir(model.graph, str(source.parent))
    places = rule.function()(model)
    if places:
        require("onnx_ir.passes.common", "").RemoveUnusedNodesPass()(model)
        large = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
        ir.save(model, str(out), external_data=f"{out.stem}.data" if large > 1_500_000_000 else None)
    return places
