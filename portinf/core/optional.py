"""Imports an optional package when it is first needed, or says which extra installs it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from portinf.core.errors import MissingPackageError

__all__ = ["available", "missing", "require"]


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
        raise missing(error.name or module, extra) from error


def missing(package: str, extra: str) -> MissingPackageError:
    """Return the error that says how to install a package."""
    target = f"portinf[{extra}]" if extra else "portinf"
    return MissingPackageError(f"the package '{package}' is not installed; install it with: pip install '{target}'")


def available(module: str) -> bool:
    """Say whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None
