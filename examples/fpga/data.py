"""Turns a seed into synthetic samples for three networks: jets, channels of a calorimeter, and images of three layers.

The shapes of the problems are those of the field; the numbers are made up for this example and are nobody's simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from examples.facile.sample import generate

__all__ = ["CELLS", "CLASSES", "FEATURES", "LAYERS", "Sample", "channels", "images", "jets"]

Float32: TypeAlias = npt.NDArray[np.float32]
CLASSES = ("gluon", "quark", "W", "Z", "top")
MASSES_GEV = (15.0, 12.0, 80.4, 91.2, 173.0)
PRONGS = (1, 1, 2, 2, 3)
SHARES = 5  # subjets whose share of the momentum is given
FEATURES = 16
LAYERS, CELLS = 3, 10  # of the image


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Inputs and what is to be found.

    Attributes:
        inputs: (rows, ...) float32.
        truth: (rows,): the class as a whole number, or the energy in GeV.
    """

    inputs: Float32
    truth: npt.NDArray[np.float32] | npt.NDArray[np.int64]


def jets(rows: int, seed: int) -> Sample:
    """Jets of five kinds by 16 numbers that tell of mass, prongs and multiplicity, each of size one.

    Shapes: inputs (rows, 16): log mass, log pT, multiplicity, width, three N-subjettiness ratios, four moments of the energy, five
    shares of the leading subjets.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(CLASSES), rows)
    prongs, mass = np.asarray(PRONGS)[kind], np.asarray(MASSES_GEV)[kind]
    momentum = 1000.0 * rng.lognormal(0.0, 0.08, rows)
    single = prongs == 1
    spread = np.where(single, 0.55, 0.10)
    measured = mass * np.where(single, momentum / 250.0, 1.0) * rng.lognormal(0.0, spread)
    soft = np.where(kind == 0, 1.35, 1.0)  # gluons radiate more
    multiplicity = rng.normal(38.0 * soft + 6.0 * prongs, 8.0)
    width = rng.lognormal(np.log(2 * mass / momentum + 0.03 * soft), 0.25)
    ratios = [rng.beta(2 + 4 * (prongs <= n), 3 + 3 * (prongs > n)) for n in (1, 2, 3)]
    shares = np.sort(rng.dirichlet(np.ones(SHARES), rows) ** (1.0 / prongs[:, None]), axis=1)[:, ::-1]
    shares /= shares.sum(axis=1, keepdims=True)
    moments = [rng.normal(np.log(width) * power / 2.0 + 0.3 * soft, 0.3) for power in (0.5, 1.0, 1.5, 2.0)]
    columns = [np.log(measured / 60.0), np.log(momentum / 1000.0) * 5.0, (multiplicity - 48.0) / 12.0, np.log(width / 0.15)]
    inputs = np.column_stack([*columns, *(2.0 * (ratio - 0.5) for ratio in ratios), *moments, 4.0 * (shares - 0.2)])
    return Sample(inputs=inputs.astype(np.float32), truth=kind)


def channels(rows: int, seed: int) -> Sample:
    """Channels of the FACILE example by 18 numbers: its 15 inputs and the charges summed over two, four and all slices.

    Charges come in pC, the gain in GeV per pC, everything else as it is: what the first normalisation is for.
    """
    sample = generate(rows, seed)
    inputs = sample.inputs.astype(np.float64)
    charges = inputs[:, :8] / 1000.0
    sums = [charges[:, 3:5].sum(1), charges[:, 2:6].sum(1), charges.sum(1)]
    rest = inputs[:, 8:] * [1.0, 1.0, 1.0, 1000.0, 1e-3, 1.0, 1.0]
    energy = sample.energy[:, 0]
    return Sample(inputs=np.column_stack([charges, rest, *sums]).astype(np.float32), truth=energy.astype(np.float32))


def images(rows: int, seed: int) -> Sample:
    """Showers in a calorimeter of three layers: hadrons, photons, and pairs of photons from a neutral pion.

    Shapes: inputs (rows, 3, 10, 10), energies in units of 10 GeV; truth 0, 1 or 2.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    depth = np.array([[0.30, 0.35, 0.35], [0.45, 0.45, 0.10], [0.45, 0.45, 0.10]])[kind]
    depth = depth * rng.lognormal(0.0, 0.25, depth.shape)
    energy = rng.lognormal(0.3, 0.4, rows)
    centre = rng.uniform(3.5, 5.5, (rows, 2))
    angle, gap = rng.uniform(0, 2 * np.pi, rows), np.where(kind == 2, rng.uniform(0.7, 1.8, rows), 0.0)
    offset = 0.5 * gap[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    first = np.where(kind == 2, rng.uniform(0.35, 0.65, rows), 1.0)
    grid = np.arange(CELLS)
    size = np.where(kind == 0, 1.1, 0.8)[:, None, None]
    total = np.zeros((rows, CELLS, CELLS))
    for sign, share in ((1, first), (-1, 1 - first)):
        y, x = (centre + sign * offset).T
        square = (grid[None, :, None] - y[:, None, None]) ** 2 + (grid[None, None, :] - x[:, None, None]) ** 2
        total += share[:, None, None] * np.exp(-square / (2 * size**2)) / size**2
    inputs = (energy[:, None] * depth)[:, :, None, None] * total[:, None] + rng.normal(0, 0.05, (rows, LAYERS, CELLS, CELLS))
    return Sample(inputs=inputs.astype(np.float32), truth=kind)
