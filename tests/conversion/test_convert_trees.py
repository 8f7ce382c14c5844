"""portinf convert of tree models and scikit-learn: names, shapes, labels, missing values, files with and without pickles."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import onnxruntime
import pytest

from tests.conftest import Cli
from tests.models import tree_models

MODELS = Path(tree_models.__file__)
Npz = Callable[..., Path]
Rng = np.random.Generator


def run(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def described(report: Any) -> list[tuple[str, str, list[Any]]]:
    """Name, type and shape of each output, dynamic axes as their labels."""
    outputs = report["signature"]["outputs"]
    return [(o["name"], o["dtype"], [a if isinstance(a, int) else a["label"] for a in o["shape"]]) for o in outputs]


CLASSIFIED = {
    "forest": ("int64", 2),
    "boosting": ("int64", 2),
    "histogram3": ("int64", 3),
    "xgboost": ("int64", 2),
    "lightgbm3": ("object", 3),
    "pipeline": ("int64", 3),
}


@pytest.mark.parametrize(("name", "expected"), CLASSIFIED.items())
def test_classifiers_give_labels_and_probabilities_in_class_order(
    cli: Cli, rng: Rng, tmp_path: Path, name: str, expected: tuple[str, int]
) -> None:
    done = cli("convert", f"{MODELS}:{name}", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert described(done.report) == [
        ("label", expected[0], ["X_0"]),
        ("probabilities", "float32", ["X_0", expected[1]]),
    ]
    spec = done.report["signature"]["inputs"][0]
    assert (spec["name"], spec["dtype"], spec["shape"][0]["minimum"], spec["shape"][1]) == ("X", "float32", 1, 5)
    model, x = getattr(tree_models, name)(), rng.normal(size=(211, 5)).astype(np.float32)
    answer = run(tmp_path / "m.onnx", {"X": x})
    assert answer["label"].tolist() == model.predict(x).tolist()
    np.testing.assert_allclose(answer["probabilities"], model.predict_proba(x), atol=1e-6)
    written = onnx.load(str(tmp_path / "m.onnx"))
    assert {entry.domain: entry.version for entry in written.opset_import} == {"": 18, "ai.onnx.ml": 3}


@pytest.mark.parametrize(
    ("name", "shape"), [("xgboost_regressor", ["X_0"]), ("lightgbm_regressor", ["X_0"]), ("forest_regressor2", ["X_0", 2])]
)
def test_regressors_keep_the_shape_of_their_own_predict(
    cli: Cli, rng: Rng, tmp_path: Path, name: str, shape: list[Any]
) -> None:
    done = cli("convert", f"{MODELS}:{name}", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert described(done.report) == [("output_0", "float32", shape)]
    x = rng.normal(size=(57, 5)).astype(np.float32)
    answer = run(tmp_path / "m.onnx", {"X": x})["output_0"]
    np.testing.assert_allclose(answer, getattr(tree_models, name)().predict(x), rtol=1e-6)


def test_float64_samples_name_the_input_and_keep_float64(cli: Cli, npz: Npz, rng: Rng) -> None:
    a = npz("a.npz", {"jet features": rng.normal(size=(50, 5))})
    done = cli("convert", f"{MODELS}:pipeline", "--inputs", a, "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert done.report["signature"]["inputs"][0]["name"] == "jet features"
    assert described(done.report)[1] == ("probabilities", "float64", ["jet features_0", 3])
    worst = {o["name"]: o["max_abs"] for o in done.report["validation"]["outputs"]}
    assert worst["probabilities"] < 1e-14


@pytest.mark.parametrize(
    "name", ["histogram", "lightgbm", *(pytest.param(name, marks=pytest.mark.long) for name in ("xgboost", "forest_nan"))]
)
def test_missing_values_in_the_samples(cli: Cli, npz: Npz, rng: Rng, name: str) -> None:
    x = rng.normal(size=(300, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    done = cli("convert", f"{MODELS}:{name}", "--inputs", npz("a.npz", {"X": x}), "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert {case["name"]: case["status"] for case in done.report["validation"]["cases"]}["a.npz"] == "equal"


def test_named_columns_with_strings(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    def event(n: int) -> dict[str, Any]:
        region = np.array(["barrel", "endcap", "forward"])[rng.integers(0, 3, n)]
        return {"region": region, "eta": rng.normal(size=n).astype("f4"), "pt": rng.normal(size=n).astype("f4")}

    done = cli("convert", f"{MODELS}:columns", "--inputs", npz("a.npz", event(30)), "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    inputs = {spec["name"]: (spec["dtype"], spec["shape"][0]["label"]) for spec in done.report["signature"]["inputs"]}
    assert inputs == {"pt": ("float32", "batch"), "region": ("object", "batch"), "eta": ("float32", "batch")}
    sample = event(9)
    answer = run(tmp_path / "m.onnx", {**sample, "region": sample["region"].astype(object)})
    assert answer["probabilities"].shape == (9, 2)
    wrong = cli("convert", f"{MODELS}:columns", "--inputs", npz("b.npz", {**event(5), "phi": np.ones(5)}), "-o", "n.onnx")
    assert wrong.code == 2
    assert "'phi'" in wrong.message


@pytest.mark.parametrize("name", ["svm", *(pytest.param(name, marks=pytest.mark.long) for name in ("kmeans", "pca"))])
def test_other_estimators(cli: Cli, name: str) -> None:
    done = cli("convert", f"{MODELS}:{name}", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    expected = {
        "svm": [("label", "int64", ["X_0"]), ("scores", "float32", ["X_0"])],
        "kmeans": [("label", "int32", ["X_0"]), ("scores", "float32", ["X_0", 3])],
        "pca": [("output_0", "float32", ["X_0", 2])],
    }
    assert described(done.report) == expected[name]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([f"{MODELS}:unfitted"], 4, "not fitted"),
        ([f"{MODELS}:spectral"], 4, "Isomap"),
        ([f"{MODELS}:lightgbm_linear"], 4, "linear_tree"),
        ([f"{MODELS}:xgboost_linear"], 4, "gblinear"),
        ([f"{MODELS}:tree", "--inputs", "narrow.npz"], 2, "expected a matrix [rows, 5], found shape [3, 4]"),
    ],
)
def test_what_cannot_be_converted_is_one_line(cli: Cli, npz: Npz, arguments: list[str], code: int, text: str) -> None:
    npz("narrow.npz", {"X": np.ones((3, 4), np.float32)})
    done = cli("convert", *arguments, "-o", "m.onnx")
    assert done.code == code, done.err
    assert text in done.message


def test_pickles_need_permission_and_run_nothing_without_it(cli: Cli, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "trap"),)

    (tmp_path / "hostile.pkl").write_bytes(pickle.dumps(Hostile()))
    joblib.dump(Hostile(), tmp_path / "hostile.joblib", compress=3)
    for name in ("hostile.pkl", "hostile.joblib"):
        refused = cli("convert", name, "-o", "m.onnx")
        assert refused.code == 4, refused.err
        assert "--allow-pickle" in refused.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.joblib", "hostile.pkl"]


def test_pickled_estimators_with_permission(cli: Cli, tmp_path: Path) -> None:
    joblib.dump(tree_models.tree(), tmp_path / "m.joblib", compress=3)
    done = cli("convert", "m.joblib", "--allow-pickle", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert described(done.report)[0] == ("label", "int64", ["X_0"])
    content = (tmp_path / "m.joblib").read_bytes()
    (tmp_path / "short.joblib").write_bytes(content[: len(content) // 2])
    damaged = cli("convert", "short.joblib", "--allow-pickle", "-o", "n.onnx")
    assert damaged.code == 2, damaged.err
    (tmp_path / "dict.pkl").write_bytes(pickle.dumps({"weights": 1}))
    other = cli("convert", "dict.pkl", "--allow-pickle", "-o", "n.onnx")
    assert other.code == 4
    assert "dict" in other.message


@pytest.mark.parametrize("suffix", [pytest.param("json", marks=pytest.mark.long), "ubj"])
def test_files_of_xgboost_need_no_permission(cli: Cli, rng: Rng, tmp_path: Path, suffix: str) -> None:
    model = tree_models.xgboost3()
    (model if suffix == "json" else model.get_booster()).save_model(tmp_path / f"model.{suffix}")
    (tmp_path / f"model.{suffix}").rename(tmp_path / "model.bin")
    done = cli("convert", "model.bin", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert described(done.report) == [("label", "int64", ["X_0"]), ("probabilities", "float32", ["X_0", 3])]
    x = rng.normal(size=(40, 5)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", {"X": x})["probabilities"], model.predict_proba(x), rtol=1e-5)
    (tmp_path / "short.bin").write_bytes((tmp_path / "model.bin").read_bytes()[:3000])
    damaged = cli("convert", "short.bin", "-o", "n.onnx")
    assert damaged.code == 2, damaged.err


def test_files_of_lightgbm_need_no_permission(cli: Cli, rng: Rng, tmp_path: Path) -> None:
    model = tree_models.lightgbm()
    model.booster_.save_model(tmp_path / "model.txt")
    done = cli("convert", "model.txt", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert described(done.report) == [("label", "int64", ["X_0"]), ("probabilities", "float32", ["X_0", 2])]
    x = rng.normal(size=(40, 5)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", {"X": x})["probabilities"], model.predict_proba(x), atol=1e-6)
    (tmp_path / "short.txt").write_bytes((tmp_path / "model.txt").read_bytes()[:3000])
    damaged = cli("convert", "short.txt", "-o", "n.onnx")
    assert damaged.code == 2, damaged.err


def test_xgboost_of_another_project_is_not_taken_for_a_model(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"learner": {"name": "no model"}}))
    done = cli("convert", "a.json", "-o", "m.onnx")
    assert done.code == 2, done.err


def test_a_tree_model_is_packaged_in_one_command(cli: Cli) -> None:
    done = cli("package", f"{MODELS}:boosting3", "--repository", "models", "--name", "jets", "--json")
    assert done.code == 0, done.err
