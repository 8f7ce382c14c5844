"""Loads pickles and joblib files, which runs code from them: only with the user's permission."""

from __future__ import annotations

import warnings
from typing import Any

from portinf.core.errors import CannotError, MissingPackageError, PermissionNeededError, UnreadableError, first_line
from portinf.core.optional import require
from portinf.sources.factory import EXTRAS
from portinf.sources.model import SourceOptions

__all__ = ["unpickle"]


def unpickle(options: SourceOptions) -> tuple[Any, list[str]]:
    """Return the object of a pickle or joblib file, and what its library warned of.

    Raises:
        PermissionNeededError: the user has not allowed it; nothing of the file was loaded.
        UnreadableError: it is damaged.
        MissingPackageError: a package is not installed.
        CannotError: a class that it names is not there.
    """
    path = options.found.path
    if not options.allow_pickle:
        raise PermissionNeededError(
            f"{path}: a Python pickle; loading it runs code from the file: allow it with --allow-pickle if you trust it; "
            "if it holds weights, name the factory of the model (file.py:factory) and give this file as --weights"
        )
    joblib = require("joblib", "trees")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = joblib.load(path)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        target = f"'portinf[{EXTRAS[name]}]'" if name in EXTRAS else name
        raise MissingPackageError(
            f"{path}: needs the package '{name}', which is not installed: pip install {target}"
        ) from error
    except AttributeError as error:
        raise CannotError(
            f"{path}: a class or function that it needs is not there ({first_line(error)}); "
            "write a factory that defines it and loads the file, and name it as file.py:factory"
        ) from error
    except Exception as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise UnreadableError(f"{path}: damaged, or not a pickle that can be loaded here ({why})") from error
    return model, _versions(caught)


def _versions(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return one line for estimators that another version of scikit-learn wrote."""
    for item in caught:
        found = getattr(item.message, "original_sklearn_version", None)
        if found is not None:
            current = getattr(item.message, "current_sklearn_version", "another version")
            return [f"pickled by scikit-learn {found} and loaded by {current}: the reference is what {current} makes of it"]
    return []
