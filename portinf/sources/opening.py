"""Opens any source: the table of loaders by format, and what a factory's model turned out to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from portinf.core.errors import CannotError, UsageError
from portinf.sources.model import Source, SourceOptions
from portinf.sources.plugins import source_plugins
from portinf.sources.pytorch.dense_knn import provide_knn

__all__ = ["open_source"]

TAKE_WEIGHTS = ("factory", "keras", "keras-h5", "torch-pickle")  # formats whose models take other weights


def open_source(options: SourceOptions) -> Source:
    """Load a source in its framework, in evaluation mode.

    Raises:
        PortinfError: it cannot be loaded; the message says why and what to do.
    """
    if options.weights is not None and options.found.format in _LOADERS and options.found.format not in TAKE_WEIGHTS:
        raise UsageError(f"--weights: {options.found.path} holds its own weights; --weights goes with a factory")
    provide_knn()
    if options.found.format in _LOADERS:
        return _LOADERS[options.found.format](options)
    plugins = source_plugins()
    if options.found.format in plugins:
        source: Source = plugins[options.found.format].load(options)
        return source
    raise CannotError(f"{options.found.path}: a source of format '{options.found.format}' has no loader")


def _from_factory(options: SourceOptions) -> Source:
    from portinf.sources.randomness.untrained import Untrained

    factory = options.found.factory
    assert factory is not None
    untrained = Untrained(factory, weighted=options.weights is not None)

    def loaded(model: Any) -> Source:
        return _of_object(model, options, factory.name + " returned")

    source: Any = loaded(untrained.model)
    source.notes[:0] = [untrained.note] if untrained.note else []
    source.look_again = lambda inputs: untrained.look_again(lambda model: loaded(model).infer(inputs))
    return source  # type: ignore[no-any-return]


def _of_object(model: Any, options: SourceOptions, origin: str, notes: Sequence[str] = ()) -> Source:
    bases = {f"{base.__module__.split('.')[0]}.{base.__name__}" for base in type(model).__mro__}
    if "torch.Module" in bases:
        from portinf.sources.pytorch.source import PyTorchSource

        return PyTorchSource(model, options)
    if any(base.startswith(("keras.", "tf_keras.")) for base in bases):
        from portinf.sources.keras.source import KerasSource

        return KerasSource(model, options)
    if any(base.startswith("tensorflow.") for base in bases):
        from portinf.sources.tensorflow.source import FunctionSource

        return FunctionSource(model, options)
    if bases & {"xgboost.Booster", "lightgbm.Booster"}:
        from portinf.sources.trees.boosters import booster_source

        return booster_source(model, options)
    if hasattr(model, "get_params") and (hasattr(model, "predict") or hasattr(model, "transform")):
        from portinf.sources.trees.estimator import EstimatorSource

        return EstimatorSource(model, options, notes=notes)
    raise CannotError(
        f"{origin} {_describe(model)}; expected a torch.nn.Module, a Keras model, a tf.function or tf.Module, "
        "a fitted scikit-learn estimator, or a booster of XGBoost or LightGBM"
    )


def _describe(model: Any) -> str:
    kind = type(model)
    return "None" if model is None else f"{kind.__module__}.{kind.__qualname__}"


def _from_keras(options: SourceOptions) -> Source:
    from portinf.sources.keras.source import KerasSource, load_keras

    return KerasSource(load_keras(options.found.path, allow_code=options.allow_code), options)


def _from_keras_h5(options: SourceOptions) -> Source:
    from portinf.sources.keras.h5 import load_h5
    from portinf.sources.keras.source import KerasSource

    model, notes = load_h5(options.found.path, allow_code=options.allow_code)
    return KerasSource(model, options, notes)


def _from_savedmodel(options: SourceOptions) -> Source:
    from portinf.sources.tensorflow.source import SavedModelSource

    return SavedModelSource(options.found.path, options.signature)


def _from_pickle(options: SourceOptions) -> Source:
    from portinf.sources.pickled import unpickle

    model, notes = unpickle(options)
    return _of_object(model, options, f"{options.found.path}: holds", notes)


def _from_xgboost(options: SourceOptions) -> Source:
    from portinf.sources.trees.boosters import load_xgboost

    return load_xgboost(options)


def _from_lightgbm(options: SourceOptions) -> Source:
    from portinf.sources.trees.boosters import load_lightgbm

    return load_lightgbm(options)


def _from_torchscript(options: SourceOptions) -> Source:
    from portinf.sources.pytorch.torchscript import TorchScriptSource

    return TorchScriptSource(options)


def _from_pt2(options: SourceOptions) -> Source:
    from portinf.sources.pytorch.pt2 import ExportedSource

    return ExportedSource(options)


def _from_torch_pickle(options: SourceOptions) -> Source:
    from portinf.sources.pytorch.source import PyTorchSource
    from portinf.sources.pytorch.weights import load_module

    return PyTorchSource(load_module(options.found.path, options.allow_pickle), options)


def _from_graphdef(options: SourceOptions) -> Source:
    from portinf.sources.tensorflow.graphdef import GraphDefSource

    return GraphDefSource(options.found.path, options.outputs)


def _from_tflite(options: SourceOptions) -> Source:
    from portinf.sources.tensorflow.tflite import TfliteSource

    return TfliteSource(options.found.path, options.signature)


def _from_onnx(options: SourceOptions) -> Source:
    from portinf.sources.onnx import OnnxSource

    return OnnxSource(options.found.path)


_LOADERS: dict[str, Callable[[SourceOptions], Source]] = {
    "factory": _from_factory,
    "keras": _from_keras,
    "keras-h5": _from_keras_h5,
    "savedmodel": _from_savedmodel,
    "pickle": _from_pickle,
    "xgboost": _from_xgboost,
    "lightgbm": _from_lightgbm,
    "torchscript": _from_torchscript,
    "pt2": _from_pt2,
    "torch-pickle": _from_torch_pickle,
    "onnx": _from_onnx,
    "graphdef": _from_graphdef,
    "tflite": _from_tflite,
}
