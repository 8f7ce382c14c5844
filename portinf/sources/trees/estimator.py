"""scikit-learn's interface: an estimator or pipeline with ``predict`` or ``transform``, run in its own precision."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, UsageError
from portinf.core.optional import require
from portinf.sources.model import Declared, SourceOptions

__all__ = ["EstimatorSource", "is_estimator"]


def is_estimator(model: Any) -> bool:
    """Say whether a model has the interface of scikit-learn."""
    return hasattr(model, "get_params") and (hasattr(model, "predict") or hasattr(model, "transform"))


class EstimatorSource:
    """One fitted estimator.

    Its inputs are one matrix [rows, features], or columns under the names that it was trained with. The answers are
    ``label`` and ``probabilities`` of a classifier, ``output_0`` of a regressor or transformer, ``label`` and ``scores``
    of a detector of outliers; in float32 unless an input is float64.

    Args:
        model: the estimator; of a search the best one is taken.
        options: names and shapes of the user's samples.
        framework: key of the versions that are recorded.
        notes: of its loader.
    """

    def __init__(self, model: Any, options: SourceOptions, *, framework: str = "sklearn", notes: Sequence[str] = ()) -> None:
        self.framework = framework
        self.model = getattr(model, "best_estimator_", model)
        self.notes: list[str] = list(notes)
        if options.weights is not None:
            raise CannotError("--weights: an estimator holds its own parameters; load them in the factory")
        _check_fitted(self.model)
        self.features = features_of(self.model)
        names = getattr(self.model, "feature_names_in_", None)
        self.columns: list[str] = [] if names is None else [str(name) for name in names]
        self.inputs: Sequence[Declared] = self._declared(options)
        self.by_column = len(self.inputs) > 1 or (len(self.columns) > 1 and self.inputs[0].name in self.columns)
        self.kind = kind_of(self.model)
        if not any(declared.dtype == "float64" for declared in self.inputs):
            self.notes += _notes_on_float(self.model, framework)

    def _declared(self, options: SourceOptions) -> list[Declared]:
        own = {given: name for name, given in options.input_names.items()}
        samples = [Declared(name=own.get(s.name, s.name), dtype=s.dtype, shape=s.shape) for s in options.samples]
        if not samples:
            if self.features is None:
                raise UsageError("this estimator does not know its number of features: give samples with --inputs FILE.npz")
            return [Declared(name=next(iter(options.input_names), "X"), dtype="float32", shape=(None, self.features))]
        if len(samples) == 1 and not (len(self.columns) > 1 and samples[0].name in self.columns):
            return [self._matrix(samples[0])]
        return self._by_name(samples)

    def _matrix(self, sample: Declared) -> Declared:
        shape = tuple(n for n in sample.shape or ())
        if len(shape) != 2 or (self.features is not None and shape[1] != self.features):
            expected = f"[rows, {self.features}]" if self.features is not None else "[rows, features]"
            raise UsageError(f"input '{sample.name}': expected a matrix {expected}, found shape {list(shape)}")
        return Declared(name=sample.name, dtype=sample.dtype, shape=(None, shape[1]))

    def _by_name(self, samples: Sequence[Declared]) -> list[Declared]:
        if not self.columns:
            raise UsageError(
                f"the samples hold {', '.join(s.name for s in samples)}; this estimator was trained without column names: "
                f"give one array of shape [rows, {self.features}]"
            )
        by_name = {sample.name: sample for sample in samples}
        unknown = [name for name in by_name if name not in self.columns]
        if unknown:
            raise UsageError(
                f"the samples hold '{unknown[0]}'; the columns that the estimator was trained with are: {', '.join(self.columns)}"
            )
        for name, sample in by_name.items():
            if tuple(sample.shape or ())[1:] not in ((), (1,)) or not sample.shape:
                raise UsageError(f"input '{name}': a column has shape [rows] or [rows, 1], found {list(sample.shape or ())}")
        chosen = [by_name[name] for name in self.columns if name in by_name]
        return [Declared(name=s.name, dtype=s.dtype, shape=(None, *tuple(s.shape or ())[1:])) for s in chosen]

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Ask the estimator; numbers are given in float32 unless an input is float64."""
        if any(len(array) == 0 for array in inputs.values()):
            raise ValueError("no rows: estimators take at least one")  # XGBoost alone answers, in shapes of its own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = _answers(self.model, self.kind, self._data(inputs))
        double = any(array.dtype == np.float64 for array in inputs.values())
        return {name: _plain(array, double) for name, array in answers.items()}

    def _data(self, inputs: Mapping[str, Array]) -> Any:
        if not self.by_column:
            return inputs[self.inputs[0].name]
        pandas = require("pandas", "trees")
        lengths = {name: len(array) for name, array in inputs.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different lengths: {lengths}")
        return pandas.DataFrame({declared.name: inputs[declared.name].reshape(-1) for declared in self.inputs})


EXACT = ("StandardScaler", "SimpleImputer", "FunctionTransformer", "str")  # steps that ONNX repeats to the last digit


def _notes_on_float(model: Any, framework: str) -> list[str]:
    """Say what float32 inputs mean for answers that the estimator itself gives in float64."""
    notes = [] if framework == "xgboost" else ["answers are given in float32, as the inputs; float64 samples keep float64"]
    steps = [type(step).__name__ for _, step in getattr(model, "steps", ())]
    inexact = [step for step in steps[:-1] if step not in EXACT]
    if inexact and re.search(r"Forest|Tree|Boosting|^XGB|^LGBM", steps[-1]):
        notes.append(
            f"{inexact[-1]} before the trees may differ in the last float32 digit: a row that close to a threshold takes the other "
            "branch; float64 samples make this a million times rarer"
        )
    return notes


def _plain(array: Any, double: bool) -> Array:
    dense = np.asarray(array.toarray() if hasattr(array, "toarray") else array)
    if dense.dtype.kind in "US":
        return dense.astype(object)
    return dense.astype(np.float32) if dense.dtype == np.float64 and not double else dense


def _check_fitted(model: Any) -> None:
    if not hasattr(model, "fit"):
        return
    sklearn = require("sklearn.utils.validation", "trees")
    exceptions = require("sklearn.exceptions", "trees")
    try:
        sklearn.check_is_fitted(model)
    except exceptions.NotFittedError as error:
        raise CannotError(f"this {type(model).__name__} is not fitted: call fit before it is returned or saved") from error


def features_of(model: Any) -> int | None:
    """Return how many columns an estimator was trained with, None where it does not say."""
    try:
        found = getattr(model, "n_features_in_", None)
    except Exception:  # noqa: BLE001 (a property of foreign classes; a pipeline's asks its first step)
        return None
    return None if found is None else int(found)


def kind_of(model: Any) -> str:
    """Return ``classifier``, ``regressor``, ``outlier``, ``mixture``, ``cluster`` or ``transformer``."""
    base = require("sklearn.base", "trees")
    if base.is_classifier(model):
        return "classifier"
    if base.is_regressor(model):
        return "regressor"
    if base.is_outlier_detector(model):
        return "outlier"
    if hasattr(model, "predict"):
        if hasattr(model, "predict_proba"):
            return "mixture"
        return "cluster" if base.is_clusterer(model) else "regressor"
    return "transformer"


def _answers(model: Any, kind: str, data: Any) -> dict[str, Any]:
    if kind == "transformer":
        return {"output_0": model.transform(data)}
    if kind == "regressor":
        return {"output_0": model.predict(data)}
    label = {"label": model.predict(data)}
    if kind in ("classifier", "mixture"):
        return {**label, **_probabilities(model, data)}
    if kind == "outlier":
        return {**label, "scores": model.decision_function(data)}
    return {**label, "scores": model.transform(data)} if hasattr(model, "transform") else label


def _probabilities(model: Any, data: Any) -> dict[str, Any]:
    """Return the probabilities in class order, of several outputs one array each; scores of a model without them."""
    if not hasattr(model, "predict_proba"):
        return {"scores": model.decision_function(data)} if hasattr(model, "decision_function") else {}
    found = model.predict_proba(data)
    if isinstance(found, list):
        return {f"probabilities_{number}": array for number, array in enumerate(found)}
    return {"probabilities": found}
