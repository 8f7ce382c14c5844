"""Everything that can answer a request, behind one contract."""

from __future__ import annotations

from portinf.runners.protocol import Runner, Tracer

__all__ = ["Runner", "Tracer"]
