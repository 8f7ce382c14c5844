"""Turns a diagnosis into text of 80 columns, one line per check."""

from __future__ import annotations

import textwrap

from portinf.commands.doctor import Diagnosis

__all__ = ["render"]

WIDTH = 80
TITLES = {"package": "packages", "route": "routes to ONNX", "target": "targets", "serving": "serving"}


def render(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as text; long lines continue below."""
    lines = [f"portinf {diagnosis.portinf}, Python {diagnosis.python}, {diagnosis.system}"]
    wide = max(len(check.name) for check in diagnosis.checks)
    for group, title in TITLES.items():
        lines += ["", title]
        for check in diagnosis.checks:
            if check.group == group:
                head = f"  {'yes' if check.works else 'no ':3}  {check.name:{wide}}  "
                lines += textwrap.wrap(head + check.detail, WIDTH, subsequent_indent=" " * len(head), break_on_hyphens=False)
    return "\n".join(lines)
