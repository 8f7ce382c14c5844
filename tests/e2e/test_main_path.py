"""From sources with odd names, types and shapes to checked answers of a live server, by the commands alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.serving.server.launcher import ServeOptions, serve
from portinf.serving.server.ports import Ports
from tests.conftest import TORCH_MODELS, Cli

Npz = Callable[..., Path]


def _odd(rng: np.random.Generator, n: int, length: int) -> dict[str, Any]:
    mask = np.arange(length)[None, :] < rng.integers(1, length + 1, (n, 1))
    values = rng.normal(size=(n, length, 3)).astype(np.float32)
    return {"file": values, "kind": rng.integers(0, 5, (n, length)), "mask": mask}


def _double(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"a": rng.normal(size=(n, 3)), "b": rng.normal(size=(n, 3))}


def _graph(rng: np.random.Generator, n: int, e: int) -> dict[str, Any]:
    return {"x": rng.normal(size=(n, 3)).astype(np.float32), "edge_index": rng.integers(0, n, (2, e))}


@pytest.mark.timeout(900)
def test_every_comparison_on_models_with_odd_names_types_and_shapes(
    cli: Cli, npz: Npz, keras_files: Path, rng: np.random.Generator, tmp_path: Path
) -> None:
    samples = {
        "odd": [npz("odd_a.npz", _odd(rng, 3, 6)), npz("odd_b.npz", _odd(rng, 4, 9))],
        "double": [npz("double_a.npz", _double(rng, 4)), npz("double_b.npz", _double(rng, 6))],
        "edge_net": [npz("graph_a.npz", _graph(rng, 6, 14)), npz("graph_b.npz", _graph(rng, 9, 25))],
    }
    sources = {name: f"{TORCH_MODELS}:{name}" for name in samples} | {"keras": str(keras_files / "two_and_two.keras")}
    inputs = {name: [word for path in samples.get(name, []) for word in ("--inputs", str(path))] for name in sources}
    for name, source in sources.items():
        packaged = cli("package", source, *inputs[name], "--repository", "models", "--name", name)
        assert packaged.code == 0, packaged.err

    checked = cli("serve-local", "models", "--replay", "--json")
    assert checked.code == 0, checked.err
    rows = {(row["model"], row["protocol"]): row["verdict"] for row in checked.report["rows"]}
    assert rows == {(name, protocol): "equal" for name in sources for protocol in ("http", "grpc")}

    with serve(tmp_path / "models", ServeOptions(ports=Ports(http=0, grpc=0, metrics=0)), lambda line: None) as server:
        for name, source in sources.items():
            live = [f"grpc://{server.grpc}/{name}", f"http://{server.http}/{name}/1"]
            compared = cli("validate", source, f"models/{name}", *live, *inputs[name], "--report", f"{name}.html", "--json")
            assert compared.code == 0, compared.err
            assert len(compared.report["hops"]) == 5
            replayed = cli("validate", f"models/{name}", live[0])
            assert replayed.code == 0, replayed.err
        other = cli("validate", "models/odd", f"grpc://{server.grpc}/double")
        assert other.code == 5, other.err
        missing = cli("validate", "models/odd", f"grpc://{server.grpc}/nothing")
        assert missing.code == 6, missing.err
        assert "nothing" in missing.message
