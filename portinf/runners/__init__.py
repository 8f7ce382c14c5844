"""Everything that can answer a request, behind one contract."""

from __future__ import annotations

from portinf.runners.opening import is_endpoint, open_runner
from portinf.runners.protocol import Runner, Tracer

__all__ = ["Runner", "Tracer", "is_endpoint", "open_runner"]
