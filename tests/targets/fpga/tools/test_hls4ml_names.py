"""Names of a model's inputs become identifiers of C++: nothing of them can end a word of the generated code."""

from __future__ import annotations

import re

from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import Input, Network
from portinf.targets.fpga.tools.hls4ml import _names


def test_hostile_names_are_identifiers() -> None:
    evil = ['x"); system("touch EXECUTED"); //', "a\n#include <x>", "[exec touch EXECUTED]", "größe²", "größe³", "*/", ""]
    inputs = tuple(Input(name=name, shape=(2,), axes=(0,), format=Format(16, 6)) for name in evil)
    names = list(_names(Network(inputs=inputs, layers=(), outputs={})).values())
    assert len(set(names)) == len(evil)
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in names)
