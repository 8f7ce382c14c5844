"""Opens any source: the table of loaders by format, and what a factory's model turned out to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portinf.errors import CannotError
from portinf.sources.model import Source, SourceOptions

__all__ = ["open_source"]


def open_source(options: SourceOptions) -> Source:
    """Load a source in its framework, in evaluation mode.

    Raises:
        PortinfError: it cannot be loaded; the message says why and what to do.
    """
    if options.found.format not in _LOADERS:
        raise CannotError(f"{options.found.path}: a source of format '{options.found.format}' has no loader")
    return _LOADERS[options.found.format](options)


def _from_factory(options: SourceOptions) -> Source:
    from portinf.sources.factory import build

    assert options.found.factory is not None
    model = build(options.found.factory)
    bases = {f"{base.__module__.split('.')[0]}.{base.__name__}" for base in type(model).__mro__}
    if "torch.Module" in bases:
        from portinf.sources.pytorch import PyTorchSource

        return PyTorchSource(model, options)
    if any(base.startswith("keras.") for base in bases):
        from portinf.sources.tensorflow import KerasSource

        return KerasSource(model, options)
    raise CannotError(
        f"{options.found.factory.name} returned {_describe(model)}; expected a torch.nn.Module or a Keras 3 model"
    )


def _describe(model: Any) -> str:
    kind = type(model)
    return "None" if model is None else f"{kind.__module__}.{kind.__qualname__}"


def _from_keras(options: SourceOptions) -> Source:
    from portinf.sources.tensorflow import KerasSource, load_keras

    return KerasSource(load_keras(options.found.path, allow_code=options.allow_code), options)


def _from_savedmodel(options: SourceOptions) -> Source:
    from portinf.sources.tensorflow import SavedModelSource

    return SavedModelSource(options.found.path, options.signature)


def _from_torchscript(options: SourceOptions) -> Source:
    from portinf.sources.torchscript import TorchScriptSource

    return TorchScriptSource(options)


def _from_pt2(options: SourceOptions) -> Source:
    from portinf.sources.pt2 import ExportedSource

    return ExportedSource(options)


def _from_torch_pickle(options: SourceOptions) -> Source:
    from portinf.sources.pytorch import PyTorchSource
    from portinf.sources.pytorch_files import load_module

    return PyTorchSource(load_module(options.found.path, options.allow_pickle), options)


_LOADERS: dict[str, Callable[[SourceOptions], Source]] = {
    "factory": _from_factory,
    "keras": _from_keras,
    "keras-h5": _from_keras,
    "savedmodel": _from_savedmodel,
    "torchscript": _from_torchscript,
    "pt2": _from_pt2,
    "torch-pickle": _from_torch_pickle,
}
