"""What a package that adds a source may import of portinf: see docs/howto/add-a-source.md."""

from __future__ import annotations

from portinf.core.errors import CannotError, PortinfError, UnreadableError
from portinf.core.signature import Signature
from portinf.sources.model import Declared, Source, SourceOptions
from portinf.sources.plugins import SourcePlugin
from portinf.sources.routes import Assumption, ExportOptions, Route

__all__ = [
    "Assumption",
    "CannotError",
    "Declared",
    "ExportOptions",
    "PortinfError",
    "Route",
    "Signature",
    "Source",
    "SourceOptions",
    "SourcePlugin",
    "UnreadableError",
]
