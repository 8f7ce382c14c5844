"""The models of `benchmarks/conversion.py`: every factory takes no argument and returns one with random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

__all__ = ["graph", "keras_resnet50", "mlp", "resnet50"]

BLOCKS = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels inside a stage and its number of blocks: ResNet-50
WIDER = 4  # channels that leave a block, over those inside


def mlp() -> Any:
    """Return a multi-layer perceptron: input ``x``, float32 [row, 16]."""
    from torch import nn

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    return Mlp().eval()


def graph() -> Any:
    """Return the interaction network of ``examples/tracking``: ``x``, float32 [node, 3], and ``edge_index``, int64 [2, edge]."""
    path = Path(__file__).parent.parent / "examples" / "tracking" / "model.py"
    spec = importlib.util.spec_from_file_location("tracking_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build()


def resnet50() -> Any:
    """Return ResNet-50 (arXiv 1512.03385, stride in the 3x3 convolution): ``x``, float32 [row, 3, 224, 224]."""
    from torch import nn

    def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> Any:
        layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(outputs))

    class Block(nn.Module):
        def __init__(self, inputs: int, inside: int, stride: int) -> None:
            super().__init__()
            first, second = convolution(inputs, inside, 1), convolution(inside, inside, 3, stride)
            self.path = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), convolution(inside, WIDER * inside, 1))
            same = stride == 1 and inputs == WIDER * inside
            self.shortcut = nn.Identity() if same else convolution(inputs, WIDER * inside, 1, stride)

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.path(x) + self.shortcut(x))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[Any] = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
            channels = 64
            for stage, (inside, count) in enumerate(BLOCKS):
                for number in range(count):
                    layers.append(Block(channels, inside, 2 if stage and not number else 1))
                    channels = WIDER * inside
            self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    return ResNet().eval()


def keras_resnet50() -> Any:
    """Return ``keras.applications.ResNet50``: ``x``, float32 [row, 224, 224, 3]."""
    import keras

    return keras.applications.ResNet50(weights=None)
