"""Rewritings of ONNX graphs: each one file, with its proof obligation; what they give is judged by someone else."""

from __future__ import annotations

from portinf.rewrites.registry import RULES, Rule, rewrite

__all__ = ["RULES", "Rule", "rewrite"]
