"""ONNX graphs in float32 -> the same in lower precision: fp16, bfloat16 or int8; their result is tested elsewhere."""

from __future__ import annotations

from portinf.mixed_precision.half_precision import Kind, lower_graph
from portinf.mixed_precision.model import load_whole, save_whole
from portinf.mixed_precision.node_search import Found, Trial, find_islands
from portinf.mixed_precision.quantized_nodes import Place, find_places
from portinf.mixed_precision.ranges import Ranges, measure_ranges
from portinf.mixed_precision.suspects import find_suspects, headroom

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
