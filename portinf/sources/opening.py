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
    if any(base.startswith(("keras.", "tf_keras.")) for base in bases):
        from portinf.sources.keras import KerasSource

        return KerasSource(model, options)
    if any(base.startswith("tensorflow.") for base in bases):
        from portinf.sources.tensorflow import FunctionSource

        return FunctionSource(model, options)
    raise CannotError(
        f"{options.found.factory.name} returned {_describe(model)}; "
        "expected a torch.nn.Module, a Keras model, a tf.function or a tf.Module"
    )


def _describe(model: Any) -> str:
    kind = type(model)
    return "None" if model is None else f"{kind.__module__}.{kind.__qualname__}"


def _from_keras(options: SourceOptions) -> Source:
    from portinf.sources.keras import KerasSource, load_keras

    return KerasSource(load_keras(options.found.path, allow_code=options.allow_code), options)


def _from_keras_h5(options: SourceOptions) -> Source:
    from portinf.sources.keras import KerasSource
    from portinf.sources.keras_h5 import load_h5

    model, notes = load_h5(options.found.path, allow_code=options.allow_code)
    return KerasSource(model, options, notes)


def _from_savedmodel(options: SourceOptions) -> Source:
    from portinf.sources.tensorflow import SavedModelSource

    return SavedModelSource(options.found.path, options.signature)


def _from_graphdef(options: SourceOptions) -> Source:
    from portinf.sources.graphdef import GraphDefSource

    return GraphDefSource(options.found.path, options.outputs)


def _from_tflite(options: SourceOptions) -> Source:
    from portinf.sources.tflite import TfliteSource

    return TfliteSource(options.found.path, options.signature)


_LOADERS: dict[str, Callable[[SourceOptions], Source]] = {
    "factory": _from_factory,
    "keras": _from_keras,
    "keras-h5": _from_keras_h5,
    "savedmodel": _from_savedmodel,
    "graphdef": _from_graphdef,
    "tflite": _from_tflite,
}
