"""Puts portinf's own writing of tree ensembles into skl2onnx, for ensembles inside pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portinf.converters.trees.answers import write_answers
from portinf.converters.trees.parts import DOUBLE, FLOAT, INT64, ML, Parts
from portinf.converters.trees.reader import read_ensemble
from portinf.core.errors import CannotError
from portinf.core.optional import available, require

__all__ = ["register"]

SKLEARN = (*("RandomForest", "ExtraTrees", "DecisionTree", "ExtraTree", "GradientBoosting", "HistGradientBoosting"),)
OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False], "raw_scores": [True, False]}


def register() -> None:
    """Register the converters of this process, once."""
    pool = require("skl2onnx.common._registration", "trees")._converter_pool
    if "PortinfXGBClassifier" in pool:
        return
    for family in SKLEARN:
        for kind in ("Classifier", "Regressor"):
            old = pool.get(f"Sklearn{family}{kind}")
            if old is not None:
                old._fct = _converter(old._fct)
    pool["SklearnIsolationForest"]._fct = _converter(pool["SklearnIsolationForest"]._fct)
    _register_boosters()


def _register_boosters() -> None:
    skl2onnx = require("skl2onnx", "trees")
    shapes = require("skl2onnx.common.shape_calculator", "trees")
    for library, prefix in (("xgboost", "XGB"), ("xgboost", "XGBRF"), ("lightgbm", "LGBM")):
        if not available(library):
            continue
        module = require(library, "trees")
        for kind, shape, options in (
            ("Classifier", shapes.calculate_linear_classifier_output_shapes, OPTIONS),
            ("Regressor", shapes.calculate_linear_regressor_output_shapes, None),
        ):
            name = f"{prefix}{kind}"
            skl2onnx.update_registered_converter(
                getattr(module, name), f"Portinf{name}", shape, _converter(None), options=options
            )


def _converter(original: Callable[[Any, Any, Any], None] | None) -> Callable[[Any, Any, Any], None]:
    """Return a converter that writes the trees itself, and leaves to the original what it is not made for."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        asked = container.get_options(operator.raw_operator, {}, fail=False)
        special = [name for name in ("raw_scores", "decision_path", "decision_leaf") if asked.get(name)]
        model = None if special or len(operator.outputs) > 2 else read_ensemble(operator.raw_operator)
        if model is None or len(model.classes) > 1:
            if original is None:
                raise CannotError(
                    f"{type(operator.raw_operator).__name__} inside another model that asks for raw scores: not supported"
                )
            original(scope, operator, container)
            return
        _emit(scope, operator, container, model)

    return convert


def _emit(scope: Any, operator: Any, container: Any, model: Any) -> None:
    types = require("skl2onnx.common.data_types", "trees")
    double = any(isinstance(variable.type, types.DoubleTensorType) for variable in operator.inputs)
    parts = Parts(scope.get_unique_variable_name)
    names = write_answers(parts, [variable.full_name for variable in operator.inputs], model, exact=double)
    for name, variable in zip(names, operator.outputs, strict=True):
        if isinstance(variable.type, types.Int64TensorType):
            name = parts.cast(name, INT64)
        elif not isinstance(variable.type, types.StringTensorType):
            # skl2onnx declares probabilities as float; nothing but the caller reads those of the last step
            wide = isinstance(variable.type, types.DoubleTensorType) or (double and variable.is_leaf)
            name = parts.cast(name, DOUBLE if wide else FLOAT)
        parts.named(name, variable.full_name)
    container.nodes.extend(parts.nodes)
    container.initializers.extend(parts.constants)
    container.node_domain_version_pair_sets.update({("", container.main_opset), (ML, 3)})
