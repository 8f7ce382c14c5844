"""Everything that can answer a request, behind one contract."""

from __future__ import annotations

from portinf.runners.opening import is_endpoint, open_runner
from portinf.runners.protocol import Runner

__all__ = ["Runner", "is_endpoint", "open_runner"]
