"""Three networks of the FPGA papers with fixed weights: as PyTorch modules, and as Keras models with the same weights."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

JET = (16, 64, 32, 32, 5)
FACILE = (18, 36, 11, 3, 1)
BIG = (103.0, -60.0)  # what folding FaaST's batch norms gives: far beyond ap_fixed<16,6>


def _fill(module: nn.Module, seed: int) -> nn.Module:
    """Give a module weights that let its outputs vary as those of a trained one do."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            fan = tensor[0].numel() if tensor.ndim > 1 else 1
            spread = 1.8 / np.sqrt(fan) if tensor.ndim > 1 else 0.2
            values = rng.normal(0, spread, tensor.shape)
            if name.endswith("running_var") or ("norm" in name and name.endswith("weight")):
                values = 0.6 + rng.random(tensor.shape)
            tensor.copy_(torch.tensor(values, dtype=tensor.dtype))
    return module.eval()


class Jet(nn.Module):
    """The jet tagger: 16-64-32-32-5 with softmax."""

    def __init__(self) -> None:
        super().__init__()
        pairs = pairwise(JET)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return torch.softmax(self.layers[-1](x), dim=-1)


class Facile(nn.Module):
    """FACILE as FaaST has it: batch norms at the input and after the activations."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(FACILE))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) for n in FACILE[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.relu(layer(norm(x)))
        return x


class Image(nn.Module):
    """Three channels, padding, strides and both kinds of pooling: a wrong layout cannot hide."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.two = nn.Conv2d(6, 4, (3, 2), stride=(1, 2))
        self.last = nn.Linear(4 * 2 * 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.one(x))), 2)
        x = nn.functional.avg_pool2d(torch.relu(self.two(x)), (1, 1))
        return torch.sigmoid(self.last(x.flatten(1)))


def jet() -> nn.Module:
    return _fill(Jet(), 3)


def facile() -> nn.Module:
    """Two constants of a batch norm are large: its channel is small before."""
    model: Any = _fill(Facile(), 17)
    with torch.no_grad():
        model.layers[0].weight[4] *= 0.01
        model.layers[0].bias[4] = 0.01
        model.norms[1].weight[4], model.norms[1].running_var[4] = BIG[0], 1.0 - 1e-5
        model.norms[1].running_mean[4], model.norms[1].bias[4] = 0.0, BIG[1]
        model.layers[1].weight[:, 4] *= 0.01
        model.layers[3].bias += 2.0
    return model


def image() -> nn.Module:
    return _fill(Image(), 11)


SHAPES: dict[str, tuple[int, ...]] = {"jet": (16,), "facile": (18,), "image": (3, 8, 9)}


def samples(name: str, rows: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return rows for a network, in the layout of PyTorch."""
    return np.random.default_rng(seed).normal(size=(rows, *SHAPES[name])).astype(np.float32)


def keras_model(name: str) -> Any:
    """Return a Keras model that computes the same; images have their channels last."""
    import keras

    made = {"jet": jet, "facile": facile, "image": image}[name]()
    x = given = keras.Input(SHAPES[name] if name != "image" else (8, 9, 3), name="x")
    layers = keras.layers
    settings: list[tuple[Any, list[Any]]] = []

    def linear(layer: Any, activation: str | None) -> Any:
        settings.append((layers.Dense(layer.out_features, activation), [_array(layer.weight).T, _array(layer.bias)]))
        return settings[-1][0]

    def norm(layer: Any) -> Any:
        numbers = [_array(t) for t in (layer.weight, layer.bias, layer.running_mean, layer.running_var)]
        settings.append((layers.BatchNormalization(epsilon=layer.eps), numbers))
        return settings[-1][0]

    def conv(layer: Any, padding: str) -> Any:
        weight = _array(layer.weight).transpose(2, 3, 1, 0)
        new = layers.Conv2D(layer.out_channels, layer.kernel_size, strides=layer.stride, padding=padding)
        settings.append((new, [weight, _array(layer.bias)]))
        return new

    if name == "jet":
        for number, layer in enumerate(made.layers):
            x = linear(layer, "relu" if number < len(made.layers) - 1 else "softmax")(x)
    elif name == "facile":
        for before, layer in zip(made.norms, made.layers, strict=True):
            x = linear(layer, "relu")(norm(before)(x))
    else:
        x = layers.ReLU()(norm(made.norm)(conv(made.one, "same")(x)))
        x = layers.ReLU()(conv(made.two, "valid")(layers.MaxPooling2D(2)(x)))
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        x = linear(made.last, "sigmoid")(x)
    model = keras.Model(given, x)
    for layer, numbers in settings:
        layer.set_weights(numbers)
    return model


def _array(tensor: Any) -> Any:
    return tensor.detach().numpy()


def main(name: str, path: Path) -> None:
    """Write a Keras model."""
    keras_model(name).save(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
