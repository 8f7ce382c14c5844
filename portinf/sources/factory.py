"""Calls ``file.py:factory`` or ``package.module:factory`` and hands the model to its framework's loader."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError, MissingPackageError, PortinfError, UnreadableError, UsageError, first_line
from portinf.sources.detect import Factory

__all__ = ["build", "load"]

# packages that an extra of portinf installs
EXTRAS = {"keras": "tensorflow", "tensorflow": "tensorflow", "torch": "torch", "torch_geometric": "pyg"}
EXTRAS.update(dict.fromkeys(("sklearn", "xgboost", "lightgbm", "skl2onnx", "joblib", "pandas"), "trees"))


def _place(error: BaseException, near: Path | None) -> str:
    """Return `` (file.py, line N)`` of the innermost frame in the user's file."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if near is not None and Path(file) == near.resolve():
            found = f" ({near}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _module(factory: Factory) -> Any:
    if factory.file is None:
        sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(str(factory.module))
    file = factory.file.resolve()
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise UnreadableError(f"{factory.file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def build(factory: Factory) -> Any:
    """Import the file or module that the user named and call the factory without arguments.

    Raises:
        UnreadableError: the file or module cannot be imported.
        UsageError: it has no such callable.
        CannotError: the call failed; the message names the line of the user's file.
    """
    return load(factory)()


def load(factory: Factory) -> Callable[[], Any]:
    """Import the file or module that the user named and return a function that calls its factory; see `build`."""
    where = str(factory.file or factory.module)
    try:
        module = _module(factory)
    except PortinfError:
        raise
    except ModuleNotFoundError as error:
        raise _missing(error, where, factory) from error
    except Exception as error:
        raise UnreadableError(
            f"{where}: cannot be imported: {type(error).__name__}: {first_line(error)}{_place(error, factory.file)}"
        ) from error
    target: Any = module
    for part in factory.name.split("."):
        target = getattr(target, part, None)
    if not callable(target):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_") and _is_local(v, module)]
        raise UsageError(f"{where}: no callable '{factory.name}'; it defines: {', '.join(names) or 'none'}")

    def call() -> Any:
        try:
            return target()
        except PortinfError:
            raise
        except ModuleNotFoundError as error:
            raise _missing(error, where, factory) from error
        except Exception as error:
            raise CannotError(
                f"{where}:{factory.name}: the call failed: {type(error).__name__}: {first_line(error)}{_place(error, factory.file)}"
            ) from error

    return call


def _missing(error: ModuleNotFoundError, where: str, factory: Factory) -> PortinfError:
    """Name the package that the user's file needs, and how to install it; the module itself may be what is not there."""
    name = (error.name or "").partition(".")[0]
    if factory.module is not None and name == factory.module.partition(".")[0]:
        return UnreadableError(
            f"{where}: no such module; it is looked for among the installed packages and in the current folder"
        )
    target = f"'portinf[{EXTRAS[name]}]'" if name in EXTRAS else name
    return MissingPackageError(
        f"{where} imports the package '{name}', which is not installed{_place(error, factory.file)}: pip install {target}"
    )


def _is_local(value: Any, module: Any) -> bool:
    return bool(getattr(value, "__module__", None) == module.__name__)
