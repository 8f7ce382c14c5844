"""Rewrites of ONNX graphs, one file each, with what they guarantee; their result is tested elsewhere."""

from __future__ import annotations

from portinf.rewrites.registry import RULES, Rule, rewrite

__all__ = ["RULES", "Rule", "rewrite"]
