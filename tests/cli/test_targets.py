"""Options of one target are refused for the others, by the groups of the help."""

from __future__ import annotations

import click
import pytest

from portinf.cli.optimize import command
from portinf.cli.targets import owners
from tests.conftest import Cli

GROUPS = {group.title: group for group in command.option_groups}
FOREIGN = [
    (option, names, target)
    for title, names in owners().items()
    for option in GROUPS[title].options
    for target in ("onnxruntime", "tensorrt", "hls4ml")
    if target not in names
]


def _value(option: click.Option) -> list[str]:
    if option.is_flag:
        return []
    return [
        option.type.choices[0] if isinstance(option.type, click.Choice) else "20" if option.name != "at_background" else "0.1"
    ]


@pytest.mark.parametrize(("option", "names", "target"), FOREIGN, ids=lambda value: getattr(value, "name", str(value)))
def test_an_option_of_another_target_is_refused_by_name(option: click.Option, names: list[str], target: str, cli: Cli) -> None:
    done = cli("optimize", "m.onnx", "--target", target, "-o", "out", option.opts[0], *_value(option))
    assert done.code == 2
    assert f"{option.opts[0]}: only for --target {' and '.join(names)}, not for {target}" in done.message


def test_general_options_come_first() -> None:
    assert list(GROUPS) == ["General", "ONNX Runtime", "TensorRT", "FPGA (hls4ml)", "Physics metrics"]
    assert set(owners()) < set(GROUPS)
