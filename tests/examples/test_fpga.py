"""The FPGA example: samples from a seed, networks that learn, and Keras twins that compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.fpga import data, networks
from examples.fpga.train import NETWORKS, train


@pytest.mark.parametrize("name", NETWORKS)
def test_samples_repeat_and_differ_by_seed(name: str) -> None:
    make = NETWORKS[name].sample
    first, again, other = make(50, 1), make(50, 1), make(50, 2)
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.inputs, other.inputs)
    assert first.inputs.dtype == np.float32 and np.isfinite(first.inputs).all() and len(first.truth) == 50


@pytest.mark.parametrize("name", NETWORKS)
def test_the_keras_twin_computes_the_same(name: str) -> None:
    """Random statistics of the batch norms, so that none of their numbers may be exchanged."""
    torch.manual_seed(3)
    module = NETWORKS[name].build()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
            torch.nn.init.normal_(part.weight)
            torch.nn.init.normal_(part.bias)
    inputs = NETWORKS[name].sample(20, 1).inputs
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(inputs)).numpy()
    last = np.moveaxis(inputs, 1, -1) if inputs.ndim == 4 else inputs
    np.testing.assert_allclose(networks.in_keras(module)(last).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_short_training_learns() -> None:
    module, test = train("jet", rows=8000, epochs=2), data.jets(2000, 3)
    with torch.no_grad():
        found = module(torch.from_numpy(test.inputs)).numpy()
    assert (found.argmax(1) == test.truth).mean() > 0.5  # one in five by chance
