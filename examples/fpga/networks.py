"""The three networks, in PyTorch, and in Keras with the same weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from examples.fpga.data import CELLS, FEATURES, LAYERS

__all__ = ["Facile", "Image", "Jet", "facile", "image", "in_keras", "jet"]

JET = (FEATURES, 64, 32, 32, 5)
FACILE = (18, 36, 11, 3, 1)


class Jet(nn.Module):
    """The jet tagger 16-64-32-32-5 of hls4ml's first paper: ``x`` (rows, 16) -> (rows, 5), shares of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(JET))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer rows."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return torch.softmax(self.layers[-1](x), dim=-1)


class Facile(nn.Module):
    """FACILE in the form of FaaST: ``x`` (rows, 18) -> (rows, 1) in GeV; a batch norm at the input and after each activation."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in FACILE[:-1])
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(FACILE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer rows."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.relu(layer(norm(x)))
        return x


class Image(nn.Module):
    """Two convolutions over three layers of cells: ``x`` (rows, 3, 10, 10) -> (rows, 3), shares of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(LAYERS, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.two = nn.Conv2d(8, 8, 3)
        self.last = nn.Linear(8 * (CELLS // 2 - 2) ** 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer rows."""
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.one(x))), 2)
        return torch.softmax(self.last(torch.relu(self.two(x)).flatten(1)), dim=-1)


def jet() -> nn.Module:
    """Return the untrained tagger."""
    return Jet()


def facile() -> nn.Module:
    """Return the untrained FACILE."""
    return Facile()


def image() -> nn.Module:
    """Return the untrained image network."""
    return Image()


def in_keras(module: nn.Module) -> Any:
    """Return a Keras model with the weights of one of the modules; images have their channels last."""
    import keras

    layers = keras.layers
    held: list[tuple[Any, list[Any]]] = []

    def put(layer: Any, *weights: Any) -> Any:
        held.append((layer, [tensor.detach().numpy() for tensor in weights]))
        return layer

    def dense(linear: Any, activation: str) -> Any:
        return put(layers.Dense(linear.out_features, activation=activation), linear.weight.T, linear.bias)

    def norm(given: Any) -> Any:
        return put(
            layers.BatchNormalization(epsilon=given.eps), given.weight, given.bias, given.running_mean, given.running_var
        )

    def convolution(conv: Any, **more: Any) -> Any:
        weight = conv.weight.permute(2, 3, 1, 0)
        return put(layers.Conv2D(conv.out_channels, conv.kernel_size, **more), weight, conv.bias)

    if isinstance(module, Image):
        x = given = keras.Input((CELLS, CELLS, LAYERS), name="x")
        x = layers.ReLU()(norm(module.norm)(convolution(module.one, padding="same")(x)))
        x = convolution(module.two, activation="relu")(layers.MaxPooling2D()(x))
        side = CELLS // 2 - 2
        last = module.last.weight.reshape(-1, 8, side, side).permute(2, 3, 1, 0).reshape(-1, 3)
        x = put(layers.Dense(3, activation="softmax"), last, module.last.bias)(layers.Flatten()(x))
    else:
        plain: Any = module
        x = given = keras.Input((plain.layers[0].in_features,), name="x")
        for number, layer in enumerate(plain.layers):
            if isinstance(module, Facile):
                x = norm(plain.norms[number])(x)
            ends = isinstance(module, Jet) and number == len(plain.layers) - 1
            x = dense(layer, "softmax" if ends else "relu")(x)
    model = keras.Model(given, x)
    for layer, weights in held:
        layer.set_weights(weights)
    return model
