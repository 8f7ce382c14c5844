"""The models of `tree_models` as the ONNX files that portinf writes of them, without a process gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from portinf.converters.trees.estimators import routes
from portinf.core.signature import Axis, Signature, TensorSpec, dtype_by_numpy
from portinf.onnx_graph.model_file import read_onnx
from portinf.sources.detect import Found
from portinf.sources.model import Declared, SourceOptions
from portinf.sources.routes import ExportOptions
from portinf.sources.trees.boosters import booster_source
from portinf.sources.trees.estimator import EstimatorSource
from tests.models import tree_models


def written(model: Any, folder: Path, dtype: str = "float32", columns: int = tree_models.FEATURES) -> tuple[Path, Signature]:
    """Write a fitted model, or one by its name in `tree_models`; the input has ``columns`` columns."""
    fitted = getattr(tree_models, model)() if isinstance(model, str) else model
    samples = [Declared(name="X", dtype=dtype, shape=(4, columns))]
    options = SourceOptions(found=Found(format="factory", path=Path()), samples=samples)
    source = EstimatorSource(fitted, options) if hasattr(fitted, "fit") else booster_source(fitted, options)
    answers = source.infer({"X": np.zeros((4, columns), dtype)})
    signature = Signature(
        inputs=(TensorSpec(name="X", dtype=dtype, shape=(Axis(label="n"), Axis(size=columns))),),
        outputs=tuple(
            TensorSpec(
                name=name,
                dtype=dtype_by_numpy(str(array.dtype)).numpy,
                shape=(Axis(label="n"), *(Axis(size=length) for length in array.shape[1:])),
            )
            for name, array in answers.items()
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    route = next(iter(routes(source, ExportOptions(signature=signature, example=folder / "none.npz", opset=18))))
    assert route.export is not None, route.reason
    path = route.export(folder)
    return path, read_onnx(path).signature
