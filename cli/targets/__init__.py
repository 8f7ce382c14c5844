"""The options of ``portinf optimize`` that only some targets have: one group of options each."""

from __future__ import annotations

import click
import cloup
from click.core import ParameterSource

from portinf.core.errors import UsageError

__all__ = ["check_options"]

# title of a group of options -> the targets that have them; a group that is not listed is for every target
_TARGETS = {
    "ONNX Runtime": ("onnxruntime",),
    "TensorRT": ("tensorrt",),
    "FPGA (hls4ml)": ("hls4ml",),
    "Physics metrics": ("onnxruntime", "tensorrt"),
}


def check_options(target: str) -> None:
    """Refuse the options of this command line that the target does not have.

    Raises:
        UsageError: names the option and its target.
    """
    context = click.get_current_context()
    assert isinstance(context.command, cloup.Command)
    for group in context.command.option_groups:
        targets = _TARGETS.get(group.title, (target,))
        for option in group.options if target not in targets else ():
            if context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT:
                raise UsageError(f"{option.opts[0]}: only for --target {' and '.join(targets)}, not for {target}")
