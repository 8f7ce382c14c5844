"""portinf convert: right at every size, under the user's names, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.conftest import KERAS_MODELS, PYG_MODELS, TORCH_MODELS, Cli

Npz = Callable[..., Path]
Rng = np.random.Generator


def floats(rng: Rng, *shape: int, dtype: Any = np.float32) -> Any:
    return rng.normal(size=shape).astype(dtype)


def run(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_two_samples_make_the_axes_that_differ_dynamic(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    a, b = npz("a.npz", {"x": floats(rng, 5, 4)}), npz("b.npz", {"x": floats(rng, 8, 4)})
    done = cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "--inputs", b, "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    shape = done.report["signature"]["inputs"][0]["shape"]
    assert shape[0]["label"] == "x_0"
    assert shape[1] == 4
    assert any("training mode" in note for note in done.report["notes"])
    assert run(tmp_path / "m.onnx", {"x": floats(rng, 31, 4)})["output_0"].shape == (31, 2)


def test_one_sample_fixes_every_axis_unless_told(cli: Cli, npz: Npz, rng: Rng) -> None:
    a = npz("a.npz", {"x": floats(rng, 5, 4)})
    fixed = cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "-o", "fixed.onnx", "--json")
    assert fixed.report["signature"]["inputs"][0]["shape"] == [5, 4]
    told = cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "--dynamic", "x:0=jets", "-o", "m.onnx", "--json")
    assert told.report["signature"]["inputs"][0]["shape"][0]["label"] == "jets"
    assert told.report["signature"]["outputs"][0]["shape"][0]["label"] == "jets"


def test_odd_names_bools_integers_scalars_and_a_dynamic_length(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    def event(n: int, length: int) -> dict[str, Any]:
        mask = np.arange(length)[None, :] < rng.integers(1, length + 1, (n, 1))
        return {"file": floats(rng, n, length, 3), "kind": rng.integers(0, 5, (n, length)), "mask": mask}

    a, b = npz("a.npz", event(3, 6)), npz("b.npz", event(4, 9))
    done = cli("convert", f"{TORCH_MODELS}:odd", "--inputs", a, "--inputs", b, "-o", "odd.onnx", "--json")
    assert done.code == 0, done.err
    signature = done.report["signature"]
    assert [spec["name"] for spec in signature["inputs"]] == ["file", "kind", "mask"]
    assert [spec["name"] for spec in signature["outputs"]] == ["out/put:0", "any ok", "total", "kind+1"]
    assert [spec["dtype"] for spec in signature["outputs"]] == ["float32", "bool", "float32", "int64"]
    assert signature["outputs"][2]["shape"] == []
    roles = {spec["name"]: spec["role"]["kind"] for spec in signature["inputs"]}
    assert roles == {"file": "value", "kind": "value", "mask": "mask"}
    answer = run(tmp_path / "odd.onnx", event(7, 2))
    assert answer["out/put:0"].shape == (7, 3)


def test_float64_stays_and_scalars_come_out(cli: Cli, npz: Npz, rng: Rng) -> None:
    def event(n: int) -> dict[str, Any]:
        return {"a": floats(rng, n, 3, dtype=np.float64), "b": floats(rng, n, 3, dtype=np.float64)}

    inputs = ["--inputs", npz("a.npz", event(4)), "--inputs", npz("b.npz", event(6))]
    done = cli("convert", f"{TORCH_MODELS}:double", *inputs, "--outputs", "line,dot", "-o", "d.onnx", "--json")
    assert done.code == 0, done.err
    outputs = done.report["signature"]["outputs"]
    assert [(o["name"], o["dtype"]) for o in outputs] == [("line", "float64"), ("dot", "float64")]
    labels = {spec["shape"][0]["label"] for spec in done.report["signature"]["inputs"]}
    assert labels == {"batch"}


def test_named_tuples_give_their_field_names_and_inputs_can_be_renamed(cli: Cli, npz: Npz, rng: Rng) -> None:
    a, b = npz("a.npz", {"logits": floats(rng, 5, 4)}), npz("b.npz", {"logits": floats(rng, 8, 4)})
    done = cli(
        "convert", f"{TORCH_MODELS}:named", "--input-name", "x=logits", "--inputs", a, "--inputs", b, "-o", "n.onnx", "--json"
    )
    assert done.code == 0, done.err
    assert [s["name"] for s in done.report["signature"]["inputs"]] == ["logits"]
    assert [s["name"] for s in done.report["signature"]["outputs"]] == ["scores", "best"]


def test_equal_sizes_are_one_symbol_only_if_the_model_requires_it(cli: Cli, npz: Npz, rng: Rng) -> None:
    a, b = ({"a": floats(rng, n, 2), "b": floats(rng, n, 2)} for n in (5, 9))
    inputs = ["--inputs", npz("a.npz", a), "--inputs", npz("b.npz", b)]
    free = cli("convert", f"{TORCH_MODELS}:pair_sum", *inputs, "-o", "p.onnx", "--json")
    assert free.code == 0, free.err
    assert [s["shape"][0]["label"] for s in free.report["signature"]["inputs"]] == ["a_0", "b_0"]
    tied = cli("convert", f"{TORCH_MODELS}:pair_sum", *inputs, "--dynamic", "a:0=n,b:0=n", "-o", "t.onnx", "--json")
    assert [s["shape"][0]["label"] for s in tied.report["signature"]["inputs"]] == ["n", "n"]


def test_a_graph_network_finds_its_index_role_and_holds_without_edges(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    def event(n: int, e: int) -> dict[str, Any]:
        return {"x": floats(rng, n, 3), "edge_index": rng.integers(0, n, (2, e))}

    inputs = ["--inputs", npz("a.npz", event(6, 14)), "--inputs", npz("b.npz", event(9, 25))]
    done = cli("convert", f"{TORCH_MODELS}:edge_net", *inputs, "-o", "g.onnx", "--json")
    assert done.code == 0, done.err
    assert done.report["signature"]["inputs"][1]["role"] == {"kind": "index", "of": "x_0", "into": None}
    sizes = [case["sizes"] for case in done.report["validation"]["cases"]]
    assert {"x_0": 9, "edge_index_1": 0} in sizes
    answer = run(tmp_path / "g.onnx", {"x": floats(rng, 4, 3), "edge_index": np.zeros((2, 0), np.int64)})
    assert answer["output_0"].shape == (4, 2)


def test_several_graphs_in_one_batch_and_a_domain_narrowed_aloud(cli: Cli, npz: Npz, rng: Rng) -> None:
    def event(n: int, e: int, graphs: int) -> dict[str, Any]:
        batch = np.sort(np.concatenate([np.arange(graphs), rng.integers(0, graphs, n - graphs)]))
        return {"x": floats(rng, n, 3), "edge_index": rng.integers(0, n, (2, e)), "batch": batch}

    inputs = ["--inputs", npz("a.npz", event(12, 30, 2)), "--inputs", npz("b.npz", event(20, 55, 3))]
    done = cli("convert", f"{PYG_MODELS}:pooled", *inputs, "-o", "g.onnx", "--json")
    assert done.code == 0, done.err
    roles = {spec["name"]: (spec["role"]["kind"], spec["role"]["of"]) for spec in done.report["signature"]["inputs"]}
    assert roles == {"x": ("value", None), "edge_index": ("index", "x_0"), "batch": ("segment", "x_0")}
    assert done.report["signature"]["inputs"][0]["shape"][0]["minimum"] == 1
    assert any("the smallest length 1 is recorded" in note for note in done.report["notes"])
    sizes = [case["sizes"] for case in done.report["validation"]["cases"] if case["status"] == "equal"]
    assert {"x_0": 20, "edge_index_1": 0} in sizes
    assert {"x_0": 1, "edge_index_1": 55} in sizes


def test_a_model_right_only_at_the_export_size_is_refused(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    a, b = npz("a.npz", {"x": floats(rng, 5, 4)}), npz("b.npz", {"x": floats(rng, 8, 4)})
    done = cli("convert", f"{TORCH_MODELS}:wrong_elsewhere", "--inputs", a, "--inputs", b, "-o", "w.onnx")
    assert done.code == 5, done.err
    assert "nothing was written" in done.message
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".onnx"]


def test_a_smallest_size_is_found_and_stored(cli: Cli, npz: Npz, rng: Rng) -> None:
    a, b = npz("a.npz", {"x": floats(rng, 5, 4)}), npz("b.npz", {"x": floats(rng, 8, 4)})
    done = cli("convert", f"{TORCH_MODELS}:needs_three", "--inputs", a, "--inputs", b, "-o", "k.onnx", "--json")
    assert done.code == 0, done.err
    assert done.report["signature"]["inputs"][0]["shape"][0]["minimum"] == 3
    short = npz("short.npz", {"x": floats(rng, 2, 4)})
    refused = cli("optimize", "k.onnx", "--target", "onnxruntime", "--inputs", short, "-o", "o.onnx")
    assert refused.code == 2
    assert "needs at least 3" in refused.message


def test_sizes_outside_the_domain_are_reported_not_failed(cli: Cli, npz: Npz, rng: Rng) -> None:
    a, b = npz("a.npz", {"x": floats(rng, 5, 4)}), npz("b.npz", {"x": floats(rng, 8, 4)})
    done = cli("convert", f"{TORCH_MODELS}:nan_on_empty", "--inputs", a, "--inputs", b, "-o", "e.onnx", "--json")
    assert done.code == 0, done.err
    outside = [case["sizes"] for case in done.report["validation"]["cases"] if case["status"] == "outside domain"]
    assert outside == [{"x_0": 0}]


def test_a_branch_on_data_is_refused(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    a, b = npz("a.npz", {"x": np.abs(floats(rng, 5, 4))}), npz("b.npz", {"x": -np.abs(floats(rng, 8, 4))})
    done = cli("convert", f"{TORCH_MODELS}:branch", "--inputs", a, "--inputs", b, "-o", "w.onnx")
    assert done.code == 4, done.err
    assert "torch_models.py, line" in done.message
    assert "torch.where (both sides computed) or torch.cond" in done.message
    assert not (tmp_path / "w.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["missing.keras", "-o", "m.onnx"], 2, "no such file"),
        ([f"{TORCH_MODELS}:nothing", "-o", "m.onnx"], 2, "no callable 'nothing'"),
        ([f"{TORCH_MODELS}:no_model", "-o", "m.onnx"], 4, "returned builtins.int"),
        ([f"{TORCH_MODELS}:fails", "-o", "m.onnx"], 4, "no such detector"),
        ([f"{TORCH_MODELS}:mlp", "-o", "m.onnx"], 2, "--inputs"),
        ([f"{TORCH_MODELS}:mlp", "--triton-release", "22.01", "-o", "m.onnx"], 4, "22.01"),
        ([f"{TORCH_MODELS}:mlp", "--triton-release", "soon", "-o", "m.onnx"], 2, "YY.MM"),
        ([f"{TORCH_MODELS}:mlp", "--dynamic", "x", "-o", "m.onnx"], 2, "--dynamic x"),
        ([f"{TORCH_MODELS}:mlp", "-o", "."], 2, "folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(cli: Cli, arguments: list[str], code: int, text: str) -> None:
    done = cli("convert", *arguments)
    assert done.code == code, done.err
    assert text in done.message


def test_samples_under_wrong_names_are_refused(cli: Cli, npz: Npz, rng: Rng) -> None:
    a = npz("a.npz", {"y": floats(rng, 5, 4)})
    done = cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "-o", "m.onnx")
    assert done.code == 2
    assert "the model's inputs are x; found y" in done.message


def test_nan_in_the_samples_is_refused(cli: Cli, npz: Npz, tmp_path: Path) -> None:
    a = npz("a.npz", {"x": np.full((5, 4), np.nan, np.float32)})
    done = cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "-o", "m.onnx")
    assert done.code == 5, done.err
    assert "NaN" in done.message
    assert not (tmp_path / "m.onnx").exists()


def test_keras_files_convert_without_samples(cli: Cli, keras_files: Path, rng: Rng, tmp_path: Path) -> None:
    done = cli("convert", keras_files / "two_and_two.keras", "-o", "k.onnx", "--json")
    assert done.code == 0, done.err
    signature = done.report["signature"]
    assert [s["name"] for s in signature["inputs"]] == ["tracks", "event"]
    assert [s["name"] for s in signature["outputs"]] == ["flavour", "pt"]
    assert signature["inputs"][0]["shape"][0]["label"] == "batch"
    answer = run(tmp_path / "k.onnx", {"tracks": floats(rng, 3, 17, 3), "event": floats(rng, 3, 2)})
    assert answer["flavour"].shape == (3, 2)


@pytest.mark.parametrize("name", ["sequential", "convolution"])
def test_other_keras_files(cli: Cli, keras_files: Path, name: str) -> None:
    done = cli("convert", keras_files / f"{name}.keras", "-o", "k.onnx", "--json")
    assert done.code == 0, done.err
    assert done.report["opset"] == 18
    assert done.report["ir_version"] == 8


def test_a_keras_factory(cli: Cli) -> None:
    done = cli("convert", f"{KERAS_MODELS}:sequential", "-o", "k.onnx", "--json")
    assert done.code == 0, done.err
    assert [s["name"] for s in done.report["signature"]["outputs"]] == ["score"]


def test_lambda_layers_need_permission(cli: Cli, keras_files: Path) -> None:
    refused = cli("convert", keras_files / "with_lambda.keras", "-o", "l.onnx")
    assert refused.code == 4
    assert "--allow-code" in refused.message
    allowed = cli("convert", keras_files / "with_lambda.keras", "--allow-code", "-o", "l.onnx")
    assert allowed.code == 0, allowed.err


def test_a_saved_model_keeps_the_names_of_its_signature(cli: Cli, keras_files: Path) -> None:
    done = cli("convert", keras_files / "saved", "-o", "s.onnx", "--json")
    assert done.code == 0, done.err
    assert {s["name"]: s["dtype"] for s in done.report["signature"]["inputs"]} == {"momenta": "float64", "charge": "int64"}
    assert {s["name"]: s["dtype"] for s in done.report["signature"]["outputs"]} == {"z_sum": "float64", "a_positive": "bool"}
    missing = cli("convert", keras_files / "saved", "--saved-model-signature", "other", "-o", "s.onnx")
    assert missing.code == 2
    assert "serving_default" in missing.message


def test_weights_are_loaded_and_held_against_the_model(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    import torch

    from tests.models import torch_models

    model = torch_models.mlp()
    torch.save(
        {"state_dict": {k: v * 2 if v.is_floating_point() else v for k, v in model.state_dict().items()}}, tmp_path / "w.pt"
    )
    x = floats(rng, 5, 4)
    a = npz("a.npz", {"x": x})
    done = cli("convert", f"{TORCH_MODELS}:mlp", "--weights", "w.pt", "--inputs", a, "-o", "m.onnx")
    assert done.code == 0, done.err
    model.load_state_dict(torch.load(tmp_path / "w.pt")["state_dict"])
    model.eval()
    np.testing.assert_allclose(
        run(tmp_path / "m.onnx", {"x": x})["output_0"], model(torch.from_numpy(x)).detach().numpy(), rtol=1e-5
    )
    wrong = cli("convert", f"{TORCH_MODELS}:edge_net", "--weights", "w.pt", "--inputs", a, "-o", "n.onnx")
    assert wrong.code == 4
    assert "do not fit" in wrong.message


def test_a_pickled_module_as_weights_needs_permission(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    a = npz("a.npz", {"x": floats(rng, 5, 4)})
    refused = cli("convert", f"{TORCH_MODELS}:mlp", "--weights", "w.pt", "--inputs", a, "-o", "m.onnx")
    assert refused.code == 4
    assert "--allow-pickle" in refused.message


def test_the_metadata_speaks_for_itself(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    a, b = npz("a.npz", {"x": floats(rng, 5, 4)}), npz("b.npz", {"x": floats(rng, 8, 4)})
    assert cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "--inputs", b, "-o", "m.onnx").code == 0
    model = onnx.load(str(tmp_path / "m.onnx"))
    assert model.ir_version == 8
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["x_0", 4]
    again = cli("optimize", "m.onnx", "--target", "onnxruntime", "-o", "o.onnx", "--json")
    assert again.code == 0, again.err


def test_an_existing_file_stays_when_the_conversion_fails(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"mine")
    a = npz("a.npz", {"x": floats(rng, 5, 3)})
    done = cli("convert", f"{TORCH_MODELS}:mlp", "--inputs", a, "-o", "m.onnx")
    assert done.code == 4
    assert "mat1 and mat2" in done.message
    assert (tmp_path / "m.onnx").read_bytes() == b"mine"


def test_debug_shows_the_traceback(cli: Cli) -> None:
    done = cli("convert", "missing.keras", "-o", "m.onnx", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err


def test_package_from_a_source_is_gated_and_force_is_recorded(cli: Cli, npz: Npz, rng: Rng, tmp_path: Path) -> None:
    import json

    a, b = npz("a.npz", {"x": floats(rng, 5, 4)}), npz("b.npz", {"x": floats(rng, 8, 4)})
    arguments = [f"{TORCH_MODELS}:wrong_elsewhere", "--inputs", a, "--inputs", b, "--repository", "models", "--name", "w"]
    refused = cli("package", *arguments)
    assert refused.code == 5, refused.err
    assert not list(tmp_path.glob("models/w/*"))
    forced = cli("package", *arguments, "--force")
    assert forced.code == 0, forced.err
    assert "warning" in forced.err
    manifest = json.loads((tmp_path / "models/w/1/portinf.json").read_text())
    assert manifest["forced"] is True
    assert manifest["validation"]["verdict"] == "disagrees"


def test_package_from_a_source_in_one_command(cli: Cli, keras_files: Path, tmp_path: Path) -> None:
    done = cli("package", keras_files / "two_and_two.keras", "--repository", "models", "--json")
    assert done.code == 0, done.err
    assert done.report["max_batch_size"] == 64
    assert {path.name for path in (tmp_path / "models/two_and_two/1").iterdir()} == {
        "model.onnx",
        "portinf.json",
        "goldens.npz",
    }
    again = cli("package", keras_files / "two_and_two.keras", "--repository", "models", "--json")
    assert again.report["version"] == 2
    other = cli("package", keras_files / "sequential.keras", "--repository", "models", "--name", "two_and_two")
    assert other.code == 4
    assert "two_and_two" in other.message
