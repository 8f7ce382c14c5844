"""Imports an optional package when it is first needed, or says which extra installs it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from portinf.errors import MissingPackageError

__all__ = ["available", "require"]


def require(module: str, extra: str) -> Any:
    """Return the imported module, or raise an error with the install line.

    Args:
        module: dotted module name, for example ``"tensorflow"``.
        extra: the extra of portinf that installs it; ``""`` for a package of the base install.

    Raises:
        MissingPackageError: the package, or one that it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        target = f"portinf[{extra}]" if extra else "portinf"
        missing = error.name or module
        raise MissingPackageError(
            f"the package '{missing}' is not installed; install it with: pip install '{target}'"
        ) from error


def available(module: str) -> bool:
    """Say whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None
