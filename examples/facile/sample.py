"""Turns a seed into a synthetic sample of hadron-calorimeter channels: 15 inputs and the true energy of each.

What is imitated is the readout behind FACILE (arXiv 2007.10359): light from a scintillator tile, integrated in 8 time
slices of 25 ns, the crossing of interest in slice 3. The signal of every crossing spreads over several slices, so that
neighbouring crossings overlap ("out-of-time pile-up"). The numbers are of the order found in such a detector; they are
chosen for this example and are nobody's calibration constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "INPUT_NAMES",
    "IN_TIME_SLICE",
    "SLICES",
    "SLICE_NS",
    "Sample",
    "generate",
    "pulse_fractions",
    "sum_of_two_slices",
    "time_slew",
]

Float64: TypeAlias = npt.NDArray[np.float64]
Float32: TypeAlias = npt.NDArray[np.float32]
Int64: TypeAlias = npt.NDArray[np.int64]

SLICES = 8
SLICE_NS = 25.0  # the LHC bunch spacing
IN_TIME_SLICE = 3  # the slice in which the pulse of the crossing of interest starts
PULSE_START_NS = 4.0  # of a pulse of high energy, after the start of its slice
RISE_NS = 4.0  # scintillation and wavelength-shifting fibre
DECAY_NS = 12.0
BASELINE_CONTAINMENT = 0.97  # average share of a pulse that lies in its first two slices

MAX_IETA = 29
MAX_IPHI = 72
DEPTHS = 7
GAIN_GEV_PER_FC = 8.0e-4  # average of the inverse charge response
PHOTOELECTRON_FC = 40.0
PEDESTAL_FC = 40.0  # per slice, from the sensor's dark current and the digitiser's offset
PEDESTAL_NOISE_FC = 20.0
DIGITISER_STEP_FC = 3.1
DIGITISER_RELATIVE_STEP = 0.012  # floating-point digitiser: steps grow with the charge

INPUT_NAMES = (
    *(f"charge_{time_slice}_fc" for time_slice in range(SLICES)),
    "ieta",
    "iphi",
    "depth",
    "gain_gev_per_fc",
    "pedestal_fc",
    "phase_ns",
    "vertices",
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Channels of the calorimeter.

    Attributes:
        inputs: shape [channel, 15]; the columns are ``INPUT_NAMES``.
        energy: shape [channel, 1]; energy in GeV that the crossing of interest deposited in the channel.
    """

    inputs: Float32
    energy: Float32


@dataclass(frozen=True, kw_only=True)
class _Channels:
    """Where the channels are and what calibration knows of them; every field has shape [channel]."""

    ieta: Int64
    iphi: Int64
    depth: Int64
    gain: Float64  # GeV per fC
    pedestal: Float64  # fC per slice
    phase: Float64  # ns by which the channel's pulses are late
    vertices: Int64  # collisions in the crossing: the same for all crossings of one event


def generate(channels: int, seed: int) -> Sample:
    """Make a sample; the same arguments always give the same numbers.

    The recorded charge of a slice is: pedestal + noise + the pulses of the 8 crossings that start in the window,
    with photo-statistics, and rounded to the digitiser's steps.

    Args:
        channels: how many channels to generate.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    where = _draw_channels(random, channels)
    deposits = _draw_deposits(random, where)  # [channel, crossing]
    charges = _draw_charges(random, where, deposits)  # [channel, slice]
    others = [where.ieta, where.iphi, where.depth, where.gain, where.pedestal, where.phase, where.vertices]
    inputs = np.concatenate([charges, np.stack(others, axis=1)], axis=1)
    energy = deposits[:, IN_TIME_SLICE, np.newaxis]
    return Sample(inputs=inputs.astype(np.float32), energy=energy.astype(np.float32))


def pulse_fractions(start_ns: Float64) -> Float64:
    """Share of one pulse's charge that each slice sees.

    The pulse is the usual difference of two exponentials,
    ``f(t) = (exp(-t/decay) - exp(-t/rise)) / (decay - rise)`` for t > 0, integrated in closed form.

    Args:
        start_ns: any shape; start of the pulse in ns after the start of slice 0; may lie before it.

    Returns:
        Shape [..., slice]; non-negative, with a sum of at most 1: what falls outside of the window is lost.
    """
    edges = SLICE_NS * np.arange(SLICES + 1)
    elapsed = np.maximum(edges - np.asarray(start_ns)[..., np.newaxis], 0.0)
    weighted = DECAY_NS * np.exp(-elapsed / DECAY_NS) - RISE_NS * np.exp(-elapsed / RISE_NS)
    cumulative = 1.0 - weighted / (DECAY_NS - RISE_NS)
    return np.maximum(np.diff(cumulative, axis=-1), 0.0)


def time_slew(charge_fc: Float64) -> Float64:
    """Delay in ns, same shape, of a pulse behind one of high charge: small pulses cross the threshold later.

    Logarithmic in the charge (fC), from 10 ns for the smallest pulses to 0 above 40 pC.
    """
    return np.asarray(np.clip(1.7 * np.log(40_000.0 / np.maximum(charge_fc, 1.0)), 0.0, 10.0))


def sum_of_two_slices(inputs: Float32) -> Float32:
    """The baseline: charge of the in-time slice and the next, pedestal off, over the average containment, times gain.

    Args:
        inputs: shape [channel, 15], as in ``Sample``.

    Returns:
        Shape [channel, 1], the energy in GeV.
    """
    gain, pedestal = inputs[:, INPUT_NAMES.index("gain_gev_per_fc")], inputs[:, INPUT_NAMES.index("pedestal_fc")]
    charge = inputs[:, IN_TIME_SLICE : IN_TIME_SLICE + 2].sum(axis=1) - 2.0 * pedestal
    return np.asarray(gain * charge / BASELINE_CONTAINMENT, dtype=np.float32)[:, np.newaxis]


def _draw_channels(random: np.random.Generator, channels: int) -> _Channels:
    """Barrel and endcap towers uniformly, with the spread that calibration constants have."""
    depth = random.integers(1, DEPTHS + 1, channels)
    sensor = np.where(depth <= 4, 1.0, 0.85)  # larger light sensors in the back layers: more charge per GeV
    return _Channels(
        ieta=random.integers(1, MAX_IETA + 1, channels) * random.choice([-1, 1], channels),
        iphi=random.integers(1, MAX_IPHI + 1, channels),
        depth=depth,
        gain=GAIN_GEV_PER_FC * sensor * random.normal(1.0, 0.05, channels).clip(0.8, 1.2),
        pedestal=random.normal(PEDESTAL_FC, 5.0, channels).clip(20.0, 60.0),
        phase=random.normal(0.0, 2.0, channels).clip(-5.0, 5.0),
        vertices=random.poisson(45, channels).clip(5, 90),
    )


def _draw_deposits(random: np.random.Generator, where: _Channels) -> Float64:
    """True energies in GeV, shape [channel, crossing]; column c starts in slice c, column 3 is the one of interest.

    Each crossing has minimum-bias energy: more with more vertices, at high |ieta| and in the front layers. The crossing
    of interest adds a deposit from its hard collision, log-uniform from 0.3 to 100 GeV.
    """
    channels = len(where.depth)
    mean = 0.025 * where.vertices * np.exp(0.07 * (np.abs(where.ieta) - 15)) * np.exp(-0.35 * (where.depth - 1))
    deposits = random.gamma(0.6, (mean / 0.6)[:, np.newaxis], (channels, SLICES))
    deposits[:, IN_TIME_SLICE] += np.exp(random.uniform(np.log(0.3), np.log(100.0), channels))
    return deposits


def _draw_charges(random: np.random.Generator, where: _Channels, deposits: Float64) -> Float64:
    """Recorded charge in fC, shape [channel, slice], of the given deposits (GeV, shape [channel, crossing])."""
    charge = deposits / where.gain[:, np.newaxis]
    start = SLICE_NS * np.arange(SLICES) + PULSE_START_NS + where.phase[:, np.newaxis] + time_slew(charge)
    start = start + random.normal(0.0, 1.0, start.shape)  # shower development
    arriving = (charge[..., np.newaxis] * pulse_fractions(start)).sum(axis=1)
    collected = PHOTOELECTRON_FC * random.poisson(arriving / PHOTOELECTRON_FC)
    noisy = collected + where.pedestal[:, np.newaxis] + random.normal(0.0, PEDESTAL_NOISE_FC, collected.shape)
    return _digitise(noisy)


def _digitise(charge: Float64) -> Float64:
    """Round charges (fC) to the steps of a floating-point digitiser, as fine as 3.1 fC; never below zero."""
    step = np.maximum(DIGITISER_STEP_FC, DIGITISER_RELATIVE_STEP * np.abs(charge))
    step = DIGITISER_STEP_FC * 2.0 ** np.floor(np.log2(step / DIGITISER_STEP_FC))
    return np.maximum(step * np.round(charge / step), 0.0)
