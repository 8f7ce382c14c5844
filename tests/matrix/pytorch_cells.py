"""The PyTorch cells of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.matrix.cell import Arrays, Cell, Rng, two

MODELS = Path(__file__).parent.parent / "models" / "matrix_torch.py"


def _model(name: str) -> str:
    return f"{MODELS}:{name}"


def _cell(*, inputs: Callable[[Rng, int], Arrays], **more: Any) -> Cell:
    return Cell(inputs=two(inputs), **more)


def _floats(rng: Rng, *shape: int, dtype: Any = np.float32) -> Any:
    return rng.normal(size=shape).astype(dtype)


def _x(*shapes: tuple[int, ...], name: str = "x", dtype: Any = np.float32) -> Callable[[Rng, int], dict[str, Any]]:
    return lambda rng, k: {name: _floats(rng, *shapes[k], dtype=dtype)}


def _pair(first: tuple[tuple[int, ...], ...], second: tuple[tuple[int, ...], ...], a: str = "a", b: str = "b") -> Any:
    return lambda rng, k: {a: _floats(rng, *first[k]), b: _floats(rng, *second[k])}


def _padded(rng: Rng, k: int) -> dict[str, Any]:
    n, length = ((4, 6), (5, 9))[k]
    lengths = rng.integers(1, length + 1, n)
    lengths[0] = length
    mask = np.arange(length)[None, :] < lengths[:, None]
    return {"tracks": _floats(rng, n, length, 3) * mask[..., None].astype(np.float32), "mask": mask}


def _packed(rng: Rng, k: int) -> dict[str, Any]:
    n, length = ((3, 6), (4, 8))[k]
    lengths = rng.integers(1, length + 1, n)
    lengths[-1] = length
    return {"x": _floats(rng, n, length, 3), "lengths": lengths}


def _indexed(rng: Rng, k: int) -> dict[str, Any]:
    n = (6, 9)[k]
    return {"x": _floats(rng, n, 4), "index": rng.integers(0, n, n)}


def _torch() -> tuple[Any, Any]:
    import torch

    from tests.models import matrix_torch

    return torch, matrix_torch


def _script(name: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        torch, models = _torch()
        torch.jit.script(getattr(models, name)().eval()).save(folder / "model.pt")
        return "model.pt"

    return write


def _traced(folder: Path) -> str:
    torch, models = _torch()
    torch.jit.trace(models.cnn().eval(), (torch.randn(3, 1, 12, 10),)).save(folder / "model.pt")
    return "model.pt"


def _program(folder: Path) -> str:
    torch, models = _torch()
    dims = {"tracks": {0: torch.export.Dim("jets"), 1: torch.export.Dim("length", min=1)}}
    dims["mask"] = dict(dims["tracks"])
    example = (torch.randn(3, 5, 3), torch.ones(3, 5, dtype=torch.bool))
    torch.export.save(torch.export.export(models.encoder().eval(), example, dynamic_shapes=dims), folder / "model.pt2")
    return "model.pt2"


def _pickled(folder: Path) -> str:
    torch, _ = _torch()
    (folder / "their_net.py").write_text(MODELS.read_text())
    import importlib.util
    import sys

    spec = importlib.util.spec_from_file_location("their_net", folder / "their_net.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["their_net"] = module
    try:
        spec.loader.exec_module(module)
        torch.save(module.residual(), folder / "model.pt")
    finally:
        del sys.modules["their_net"]
    return "model.pt"


def _lightning(folder: Path) -> str:
    torch, models = _torch()
    state = {f"model.{name}": value for name, value in models.cnn().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state, "hyper_parameters": {"lr": 0.1}}, folder / "last.ckpt")
    return _model("cnn")


def _safetensors(folder: Path) -> str:
    from safetensors.torch import save_file

    _, models = _torch()
    save_file(models.encoder().state_dict(), folder / "model.safetensors")
    return _model("encoder")


IMAGES = _x((3, 1, 12, 10), (5, 1, 14, 12), name="image")
SEQUENCES = _x((3, 6, 3), (4, 9, 3))
ROWS = _x((5, 4), (8, 4))

CELLS = (
    _cell(name="CNN left in training mode", source=_model("cnn"), inputs=IMAGES),
    _cell(name="residual block", source=_model("residual"), inputs=_x((2, 3, 16, 16), (3, 3, 20, 24))),
    _cell(name="Conv1d, ConvTranspose1d, GroupNorm", source=_model("upsample"), inputs=_x((2, 2, 16), (3, 2, 24), name="wave")),
    _cell(name="LSTM, dynamic length", source=_model("lstm"), outputs=("sequence", "last"), inputs=SEQUENCES, everyday=True),
    _cell(name="GRU, dynamic length", source=_model("gru"), outputs=("sequence", "last"), inputs=SEQUENCES),
    _cell(name="bidirectional LSTM, 2 layers", source=_model("bidirectional"), outputs=("sequence", "last"), inputs=SEQUENCES),
    _cell(name="TransformerEncoder, padding mask", source=_model("encoder"), inputs=_padded),
    _cell(
        name="MultiheadAttention, two lengths",
        source=_model("attention"),
        outputs=2,
        inputs=_pair(((3, 4, 8), (4, 7, 8)), ((3, 6, 8), (4, 5, 8)), "query", "memory"),
    ),
    _cell(name="EmbeddingBag", source=_model("bag"), inputs=lambda rng, k: {"words": rng.integers(0, 11, ((3, 5), (4, 8))[k])}),
    _cell(name="topk", source=_model("topk"), outputs=("values", "indices"), inputs=_x((4, 6), (5, 9))),
    _cell(name="nonzero", source=_model("nonzero"), inputs=ROWS),
    _cell(name="unique", source=_model("unique"), outputs=2, inputs=lambda rng, k: {"kind": rng.integers(-3, 4, (7, 12)[k])}),
    _cell(
        name="grid_sample",
        source=_model("grid_sample"),
        inputs=_pair(((2, 1, 6, 6), (3, 1, 8, 8)), ((2, 4, 5, 2), (3, 4, 7, 2)), "image", "grid"),
    ),
    _cell(name="einsum", source=_model("einsum"), inputs=_pair(((2, 3, 4), (3, 5, 4)), ((2, 6, 4), (3, 4, 4)))),
    _cell(name="fp64", source=_model("double"), inputs=_x((5, 4), (8, 4), dtype=np.float64)),
    _cell(
        name="int64 in and out",
        source=_model("integers"),
        outputs=3,
        inputs=lambda rng, k: {name: rng.integers(-(2**40), 2**40, (4, 7)[k]) for name in "ab"},
    ),
    _cell(name="fp16", source=_model("half"), inputs=_x((5, 4), (8, 4), dtype=np.float16)),
    _cell(
        name="bool in and out",
        source=_model("booleans"),
        outputs=2,
        inputs=lambda rng, k: {"x": _floats(rng, (4, 6)[k]), "keep": rng.random((4, 6)[k]) < 0.5},
    ),
    _cell(name="scalar outputs", source=_model("scalars"), outputs=3, inputs=ROWS),
    _cell(name="torch.cond", source=_model("cond"), inputs=lambda rng, k: {"x": _floats(rng, 4 + k, 3) + 1 - 2 * k}),
    _cell(name="rfft", source=_model("rfft"), inputs=_x((3, 16), (5, 16), name="wave")),
    _cell(name="stft", source=_model("stft"), inputs=_x((3, 64), (5, 64), name="wave")),
    _cell(name="index_add, dynamic", source=_model("index_add"), inputs=_indexed),
    _cell(name="scatter_reduce", source=_model("scatter"), outputs=2, inputs=_indexed),
    _cell(name="pack_padded_sequence", source=_model("packed"), outputs=2, inputs=_packed),
    _cell(name="cdist", source=_model("cdist"), inputs=_pair(((5, 3), (8, 3)), ((4, 3), (6, 3)))),
    _cell(
        name="linalg.inv",
        source=_model("inverse"),
        inputs=_x((2, 3, 3), (4, 3, 3), name="matrix"),
        expect="linalg",
        code=4,
        cure="write the inverse of a small matrix out, or solve before the model",
    ),
    _cell(name="cumprod", source=_model("cumprod"), inputs=ROWS),
    _cell(
        name="Python if on data",
        source=_model("branch"),
        inputs=ROWS,
        expect="write it with torch.where (both sides computed) or torch.cond",
        code=4,
        cure="write it with torch.where (both sides computed) or torch.cond",
        everyday=True,
    ),
    _cell(
        name="Python loop on data",
        source=_model("loop"),
        inputs=lambda rng, k: {"x": _floats(rng, 4 + k, 3), "steps": np.array(2)},
        expect="torch.while_loop",
        code=4,
        cure="compute on the whole tensor with a mask, or write it with torch.while_loop",
    ),
    _cell(
        name="dict of named tuples and lists",
        source=_model("fields"),
        outputs=("pair.scores", "pair.best", "sums.0", "sums.1"),
        inputs=ROWS,
    ),
    _cell(
        name="two axes, untied",
        source=_model("untied"),
        inputs=_pair(((5, 2), (9, 2)), ((5, 2), (9, 2))),
        labels=("a_0", "b_0"),
    ),
    _cell(name="two axes, tied", source=_model("tied"), inputs=_pair(((5, 2), (9, 2)), ((5, 2), (9, 2))), labels=("batch",)),
    _cell(name="two axes, outer difference", source=_model("outer"), inputs=_pair(((5, 2), (9, 2)), ((4, 2), (3, 2)))),
    _cell(name="argsort, gather, cumsum", source=_model("sorting"), outputs=3, inputs=_x((4, 6), (5, 9))),
    _cell(name="bilinear interpolate", source=_model("interpolate"), inputs=IMAGES),
    _cell(
        name="masked softmax",
        source=_model("masked_softmax"),
        inputs=lambda rng, k: {"x": _floats(rng, 4, 6 + k), "mask": rng.random((4, 6 + k)) < 0.7},
    ),
    _cell(name="logsumexp, normalize", source=_model("logsumexp"), outputs=2, inputs=ROWS),
    _cell(name="deep set", source=_model("deep_set"), inputs=ROWS),
    _cell(name="kNN graph from topk", source=_model("knn"), inputs=_x((2, 6, 3), (3, 9, 3), name="points")),
    _cell(
        name="TorchScript, scripted, with an if on data",
        source=_script("scripted_if"),
        outputs=("y", "a"),
        inputs=ROWS,
        everyday=True,
    ),
    _cell(name="TorchScript, scripted LSTM", source=_script("lstm_script"), outputs=2, inputs=SEQUENCES),
    _cell(name="TorchScript, traced CNN", source=_traced, inputs=_x((3, 1, 12, 10), (5, 1, 12, 10), name="image")),
    _cell(name=".pt2 with two dynamic axes", source=_program, inputs=_padded, labels=("tracks_0", "tracks_1"), everyday=True),
    _cell(
        name="pickled module, without permission",
        source=_pickled,
        inputs=_x((2, 3, 16, 16), (3, 3, 16, 16)),
        expect="--allow-pickle",
        code=4,
        cure="--allow-pickle, or save model.state_dict() and name a factory",
    ),
    _cell(
        name="pickled module, with permission",
        source=_pickled,
        inputs=_x((2, 3, 16, 16), (3, 3, 16, 16)),
        options=("--allow-pickle",),
    ),
    _cell(name="checkpoint of Lightning", source=_lightning, inputs=IMAGES, options=("--weights", "last.ckpt")),
    _cell(name="safetensors", source=_safetensors, inputs=_padded, options=("--weights", "model.safetensors")),
)
