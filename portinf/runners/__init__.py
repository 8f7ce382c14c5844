"""Everything that can answer a request, behind one contract."""

from __future__ import annotations

from portinf.runners.protocol import Float64Runner, Runner, RunnerInfo

__all__ = ["Float64Runner", "Runner", "RunnerInfo"]
