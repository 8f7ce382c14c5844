"""Turns a seed into an event of a barrel tracker: hits, a graph of candidate segments, and which of them are true.

Charged particles fly on helices in a solenoid's field through thin cylinders around the beam line. The radii and the
field are those of the barrel of the TrackML detector (arXiv 1904.06778), rounded; the graph's windows are those of
HEP.TrkX (arXiv 1810.06111). Lengths in mm, angles in radians, momenta in GeV.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["LAYER_RADII_MM", "Event", "Hits", "generate", "helix", "label_segments", "segment_slopes"]

Float64: TypeAlias = npt.NDArray[np.float64]
Float32: TypeAlias = npt.NDArray[np.float32]
Int64: TypeAlias = npt.NDArray[np.int64]
Bool: TypeAlias = npt.NDArray[np.bool_]

LAYER_RADII_MM = (32.0, 72.0, 116.0, 172.0, 260.0, 360.0, 500.0, 660.0, 820.0, 1020.0)
HALF_LENGTH_MM = 1000.0
FIELD_TESLA = 2.0
MIN_PT_GEV = 0.6
MEAN_PT_GEV = 1.2  # above the minimum: exponential spectrum
MAX_PSEUDORAPIDITY = 1.2
BEAM_SPOT_MM = 55.0  # standard deviation of the collisions along the beam
LAYER_THICKNESS = 0.02  # in radiation lengths, at normal incidence
HIT_EFFICIENCY = 0.98
RESOLUTION_RPHI_MM = 0.05
RESOLUTION_Z_MM = 0.3
NOISE_SHARE = 0.15  # noise hits per hit of a particle
NOISE = -1  # particle number of a noise hit

MAX_PHI_SLOPE = 0.0006  # |dphi/dr| in 1/mm; a particle of 0.6 GeV has 0.0005 at r = 0, more further out
MAX_Z0_MM = 150.0  # where a segment may point at the beam line


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Hits, sorted by layer; every field has shape [hit].

    Attributes:
        layer: index into ``LAYER_RADII_MM``.
        phi: azimuth, -pi to pi.
        z: along the beam and the field, in mm.
        particle: number of the particle, or ``NOISE``.
    """

    layer: Int64
    phi: Float64
    z: Float64
    particle: Int64


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event as a graph.

    Attributes:
        x: [node, 3]: r, phi, z of each hit in units of 1000 mm, pi and 1000 mm.
        edge_index: [2, edge]: inner and outer hit of each candidate segment.
        label: [edge]: 1 where both hits are from one particle, else 0.
        missed: true segments between adjacent layers that are not among the edges.
    """

    x: Float32
    edge_index: Int64
    label: Float32
    missed: int


def generate(particles: int, seed: int) -> Event:
    """Make an event of that many charged particles; the same arguments always give the same event."""
    random = np.random.default_rng(seed)
    hits = _with_noise(random, _particle_hits(random, particles))
    edge_index = _connect(hits)
    label = label_segments(hits, edge_index)
    radius = np.asarray(LAYER_RADII_MM)[hits.layer]
    x = np.stack([radius / 1000.0, hits.phi / np.pi, hits.z / 1000.0], axis=1)
    return Event(
        x=x.astype(np.float32),
        edge_index=edge_index,
        label=label.astype(np.float32),
        missed=_count_segments(hits) - int(label.sum()),
    )


def helix(pt: Float64, charge: Int64, phi: Float64, cot_theta: Float64, z0: Float64, radius: float) -> tuple[Float64, Float64]:
    """Where helices that start at the beam line cross a cylinder.

    A track of transverse momentum pT bends with R[m] = pT[GeV] / (0.2998 B[T]); it crosses r < 2R at
    phi(r) = phi0 - charge asin(r / 2R) and z(r) = z0 + 2R asin(r / 2R) cot(theta).

    Args:
        pt: transverse momentum in GeV; this and the next four have shape [particle].
        charge: +1 or -1.
        phi: azimuth at the start.
        cot_theta: pz / pT.
        z0: z at the start, in mm.
        radius: of the cylinder, in mm.

    Returns:
        phi and z [mm] there; both NaN where the track turns back before.
    """
    bending = 1000.0 * pt / (0.299792458 * FIELD_TESLA)
    sine = np.where(radius <= 2.0 * bending, radius / (2.0 * bending), np.nan)
    turned = np.arcsin(sine)
    return phi - charge * turned, z0 + 2.0 * bending * turned * cot_theta


def segment_slopes(x: Float32, edge_index: Int64) -> tuple[Float64, Float64]:
    """Return dphi/dr in 1/mm and z in mm at the beam line of each edge, both of shape [edge]; ``x`` as in ``Event``."""
    inner, outer = x[edge_index[0]].astype(np.float64), x[edge_index[1]].astype(np.float64)
    step, turn, rise = ((outer - inner) * (1000.0, np.pi, 1000.0)).T
    return _wrap(turn) / step, 1000.0 * inner[:, 2] - 1000.0 * inner[:, 0] * rise / step


def label_segments(hits: Hits, edge_index: Int64) -> Bool:
    """Return, for each edge [edge], whether its two hits are from one particle."""
    inner, outer = hits.particle[edge_index[0]], hits.particle[edge_index[1]]
    return np.asarray((inner == outer) & (inner != NOISE))


def _particle_hits(random: np.random.Generator, particles: int) -> Hits:
    """Fly the particles outwards and record smeared hits, at most one for each particle and layer."""
    pt = MIN_PT_GEV + random.exponential(MEAN_PT_GEV, particles)
    charge = random.choice([-1, 1], particles)
    phi = random.uniform(-np.pi, np.pi, particles)
    cot_theta = np.sinh(random.uniform(-MAX_PSEUDORAPIDITY, MAX_PSEUDORAPIDITY, particles))
    z0 = random.normal(0.0, BEAM_SPOT_MM, particles)
    shift_rphi, shift_z = _scattering(random, pt, cot_theta)  # [layer, particle]
    found: list[tuple[Int64, Float64, Float64, Int64]] = []
    for layer, radius in enumerate(LAYER_RADII_MM):
        at_phi, at_z = helix(pt, charge, phi, cot_theta, z0, radius)
        at_phi = at_phi + (shift_rphi[layer] + random.normal(0.0, RESOLUTION_RPHI_MM, particles)) / radius
        at_z = at_z + shift_z[layer] + random.normal(0.0, RESOLUTION_Z_MM, particles)
        seen = (np.abs(at_z) < HALF_LENGTH_MM) & (random.uniform(size=particles) < HIT_EFFICIENCY)
        number = np.flatnonzero(seen)
        found.append((np.full(len(number), layer), _wrap(at_phi[seen]), at_z[seen], number))
    layers, phis, heights, numbers = (np.concatenate(column) for column in zip(*found, strict=True))
    return Hits(layer=layers, phi=phis, z=heights, particle=numbers)


def _scattering(random: np.random.Generator, pt: Float64, cot_theta: Float64) -> tuple[Float64, Float64]:
    """Displacements in mm along r-phi and z, each [layer, particle], from multiple scattering in the layers inside.

    Width of the angle: Highland's formula, 13.6 MeV / p * sqrt(t) * (1 + 0.038 ln t) for a relativistic particle of unit
    charge (Review of Particle Physics, "Passage of particles through matter"), t in radiation lengths along the
    path. A kick in one layer displaces the hits outside in proportion to the distance, seen from the side for z.
    """
    per_sine = np.sqrt(1.0 + cot_theta**2)  # 1 / sin(theta) = p / pT
    path = LAYER_THICKNESS * per_sine
    width = 0.0136 / (pt * per_sine) * np.sqrt(path) * (1.0 + 0.038 * np.log(path))
    radii = np.asarray(LAYER_RADII_MM)
    lever = np.maximum(radii[:, np.newaxis] - radii, 0.0)  # [hit layer, scattering layer]
    kicks = width * random.normal(size=(2, len(radii), len(pt)))
    return lever @ kicks[0] * per_sine, lever @ kicks[1] * per_sine**2


def _with_noise(random: np.random.Generator, hits: Hits) -> Hits:
    """Add noise hits, uniform over each layer, and sort everything by layer and then at random."""
    extra = random.poisson(NOISE_SHARE * len(hits.layer))
    layer = np.concatenate([hits.layer, random.integers(0, len(LAYER_RADII_MM), extra)])
    phi = np.concatenate([hits.phi, random.uniform(-np.pi, np.pi, extra)])
    z = np.concatenate([hits.z, random.uniform(-HALF_LENGTH_MM, HALF_LENGTH_MM, extra)])
    particle = np.concatenate([hits.particle, np.full(extra, NOISE)])
    order = np.lexsort((random.uniform(size=len(layer)), layer))
    return Hits(layer=layer[order], phi=phi[order], z=z[order], particle=particle[order])


def _connect(hits: Hits) -> Int64:
    """Connect hits of adjacent layers that a helix from the beam spot could join; returns [2, edge]."""
    pairs: list[Int64] = []
    for layer, (inside, outside) in enumerate(pairwise(LAYER_RADII_MM)):
        inner, outer = np.flatnonzero(hits.layer == layer), np.flatnonzero(hits.layer == layer + 1)
        turn = _wrap(hits.phi[outer] - hits.phi[inner, np.newaxis])
        rise = hits.z[outer] - hits.z[inner, np.newaxis]
        step = outside - inside
        z0 = hits.z[inner, np.newaxis] - inside * rise / step
        first, second = np.nonzero((np.abs(turn) < MAX_PHI_SLOPE * step) & (np.abs(z0) < MAX_Z0_MM))
        pairs.append(np.stack([inner[first], outer[second]]))
    return np.concatenate(pairs, axis=1).astype(np.int64)


def _count_segments(hits: Hits) -> int:
    """Count the pairs of hits of one particle in adjacent layers, connected or not."""
    real = hits.particle != NOISE
    stride = len(LAYER_RADII_MM) + 1
    places = hits.particle[real] * stride + hits.layer[real]
    return len(np.intersect1d(places + 1, places))


def _wrap(angle: Float64) -> Float64:
    """Bring angles into -pi to pi."""
    return np.asarray((angle + np.pi) % (2.0 * np.pi) - np.pi)
