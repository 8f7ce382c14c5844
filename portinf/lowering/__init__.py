"""ONNX graphs in float32 -> the same with fewer bits: fp16, bfloat16, or int8; what they give is judged by someone else."""

from __future__ import annotations

from portinf.lowering.graphs import load_whole, save_whole
from portinf.lowering.half import Kind, lower_graph
from portinf.lowering.places import Place, find_places
from portinf.lowering.ranges import Ranges, measure_ranges
from portinf.lowering.search import Found, Trial, find_islands
from portinf.lowering.suspects import find_suspects, headroom

__all__ = [
    "Found",
    "Kind",
    "Place",
    "Ranges",
    "Trial",
    "find_islands",
    "find_places",
    "find_suspects",
    "headroom",
    "load_whole",
    "lower_graph",
    "measure_ranges",
    "save_whole",
]
