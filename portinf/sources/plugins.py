"""Finds sources that other packages add: one entry point of the group ``portinf.sources`` each, naming a module."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from portinf.core.errors import CannotError, first_line

__all__ = ["GROUP", "SourcePlugin", "source_plugins"]

GROUP = "portinf.sources"


class SourcePlugin(Protocol):
    """What such a module defines; its import must be light: the framework is imported inside ``load`` and ``routes``."""

    def detects(self, path: Path) -> bool:
        """Say, by content, whether a file or folder that portinf does not know is of this kind."""
        ...

    def load(self, options: Any) -> Any:
        """Load it: `portinf.sources.model.SourceOptions` to `portinf.sources.model.Source` of this ``framework``."""
        ...

    def routes(self, source: Any, options: Any) -> Iterable[Any]:
        """Offer `portinf.sources.routes.Route`s for a loaded source and `portinf.sources.routes.ExportOptions`, in order of trust."""
        ...


@cache
def source_plugins() -> dict[str, SourcePlugin]:
    """Return the added sources by the name of their entry point, which is their framework's name too.

    Raises:
        CannotError: a module cannot be imported or lacks a function; the message names the package.
    """
    found: dict[str, SourcePlugin] = {}
    for point in entry_points(group=GROUP):
        where = f"the source '{point.name}' ({point.value}) of the package {point.dist.name if point.dist else 'unknown'}"
        try:
            module = point.load()
        except Exception as error:
            raise CannotError(f"{where} cannot be imported: {first_line(error)}; fix or uninstall that package") from error
        missing = [name for name in ("detects", "load", "routes") if not callable(getattr(module, name, None))]
        if missing:
            raise CannotError(f"{where} lacks {', '.join(missing)}; expected a module with detects, load and routes")
        found[point.name] = cast(SourcePlugin, module)
    return found
