"""The track-finding example: are the events physical and repeatable, and is the network what a graph network must be?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.tracking.detector import (
    LAYER_RADII_MM,
    MAX_PHI_SLOPE,
    MAX_Z0_MM,
    Event,
    generate,
    helix,
    segment_slopes,
)

PARTICLES = 60
FLOAT32 = 2e-6  # scores computed in another order of sums
TURNED = 2e-4  # phi + 2 in float32 loses two bits, and the slope multiplies them by up to 750
WRITTEN = 1e-3  # windows recomputed from float32 coordinates, relative


@pytest.fixture(scope="module")
def event() -> Event:
    return generate(PARTICLES, seed=4)


@pytest.fixture(scope="module")
def torch() -> Any:
    pytest.importorskip("torch_geometric", reason="torch_geometric is not installed")
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def network(torch: Any) -> Any:
    from examples.tracking.model import build

    torch.manual_seed(0)
    return build()


def run(torch: Any, network: Any, x: np.ndarray, edge_index: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(x), torch.from_numpy(edge_index)).numpy())


def test_shapes_and_types(event: Event) -> None:
    nodes, edges = len(event.x), len(event.label)
    assert event.x.shape == (nodes, 3)
    assert event.edge_index.shape == (2, edges)
    assert (event.x.dtype, event.edge_index.dtype, event.label.dtype) == (np.float32, np.int64, np.float32)
    assert 0 <= event.edge_index.min() <= event.edge_index.max() < nodes


def test_hits_lie_on_the_layers(event: Event) -> None:
    assert np.isfinite(event.x).all()
    assert set(np.round(1000.0 * event.x[:, 0]).astype(int)) <= {int(radius) for radius in LAYER_RADII_MM}
    assert (np.abs(event.x[:, 1:]) <= 1.0).all()


def test_a_seed_gives_one_event() -> None:
    first, again, other = (generate(20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.edge_index, again.edge_index)
    assert first.x.shape != other.x.shape or not np.array_equal(first.x, other.x)


def test_edges_go_outwards_by_one_layer_and_stay_in_the_windows(event: Event) -> None:
    radii = np.asarray(LAYER_RADII_MM)
    layers = np.abs(1000.0 * event.x[:, :1] - radii).argmin(axis=1)
    inner, outer = layers[event.edge_index]
    np.testing.assert_array_equal(outer, inner + 1)
    slope, z0 = segment_slopes(event.x, event.edge_index)
    assert np.abs(slope).max() < MAX_PHI_SLOPE * (1 + WRITTEN)
    assert np.abs(z0).max() < MAX_Z0_MM * (1 + WRITTEN)


def test_nearly_all_true_segments_are_in_the_graph() -> None:
    events = [generate(PARTICLES, seed=seed) for seed in range(5)]
    true = sum(float(event.label.sum()) for event in events)
    assert sum(event.missed for event in events) < 0.02 * (true + 1)
    assert 0.5 < true / sum(len(event.label) for event in events) < 0.97  # neither empty of false segments nor drowned


def test_a_hit_has_at_most_one_true_segment_on_each_side(event: Event) -> None:
    true = event.edge_index[:, event.label > 0.5]
    for side in true:
        assert len(np.unique(side)) == len(side)


def test_a_helix_is_a_circle_through_the_beam_line() -> None:
    """Points at several radii: their distance to the circle's centre is the bending radius, p = 0.3 B R."""
    pt, phi0, one = np.array([0.8]), np.array([0.3]), np.ones(1)
    bending = 1000.0 * 0.8 / (0.299792458 * 2.0)
    centre = bending * np.array([np.sin(0.3), -np.cos(0.3)])  # a positive charge turns towards smaller phi
    for radius in LAYER_RADII_MM:
        phi, z = helix(pt, np.array([1]), phi0, 0.5 * one, 7.0 * one, radius)
        point = radius * np.array([np.cos(phi[0]), np.sin(phi[0])])
        assert np.hypot(*(point - centre)) == pytest.approx(bending)
        arc = 2.0 * bending * np.arcsin(np.hypot(*point) / (2.0 * bending))
        assert z[0] == pytest.approx(7.0 + 0.5 * arc)


def test_soft_particles_turn_back() -> None:
    values = np.ones(1)
    phi, z = helix(0.1 * values, np.array([1]), values, values, values, LAYER_RADII_MM[-1])
    assert np.isnan(phi).all()
    assert np.isnan(z).all()


@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (5, 0), (2, 1), (30, 90)])
def test_scores_are_probabilities_at_every_size(torch: Any, network: Any, nodes: int, edges: int) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(nodes, 3)).astype(np.float32)
    found = run(torch, network, x, random.integers(0, nodes, (2, edges)))
    assert found.shape == (edges,)
    assert ((found >= 0) & (found <= 1)).all()


def test_permuting_edges_permutes_scores(torch: Any, network: Any, event: Event) -> None:
    order = np.random.default_rng(2).permutation(len(event.label))
    scores = run(torch, network, event.x, event.edge_index)
    permuted = run(torch, network, event.x, event.edge_index[:, order])
    np.testing.assert_allclose(permuted, scores[order], atol=FLOAT32)


def test_renumbering_hits_changes_nothing(torch: Any, network: Any, event: Event) -> None:
    order = np.random.default_rng(3).permutation(len(event.x))
    scores = run(torch, network, event.x, event.edge_index)
    renumbered = run(torch, network, event.x[order], np.argsort(order)[event.edge_index])
    np.testing.assert_allclose(renumbered, scores, atol=FLOAT32)


def test_a_full_turn_in_phi_changes_nothing(torch: Any, network: Any, event: Event) -> None:
    turned = event.x.copy()
    turned[::2, 1] += 2.0
    scores = run(torch, network, event.x, event.edge_index)
    np.testing.assert_allclose(run(torch, network, turned, event.edge_index), scores, atol=TURNED)


def test_a_rank_curve_by_hand(torch: Any) -> None:
    from examples.tracking.train import area_under_curve

    assert area_under_curve(np.array([0.9, 0.8, 0.2]), np.array([True, True, False])) == 1.0
    assert area_under_curve(np.ones(4), np.array([True, False, True, False])) == 0.5
    assert area_under_curve(np.array([0.1, 0.9]), np.array([True, False])) == 0.0


def test_training_beats_the_baseline(torch: Any) -> None:
    from examples.tracking.train import quality, scores, straightness, train

    torch.set_num_threads(1)
    model = train([generate(PARTICLES, seed=seed) for seed in range(20)], epochs=6)
    assert not model.training
    unseen = [generate(PARTICLES, seed=100 + seed) for seed in range(4)]
    network = quality([scores(model, event) for event in unseen], unseen, 0.5)
    baseline = quality([straightness(event) for event in unseen], unseen, 0.0)
    assert network.auc > 0.9 > baseline.auc


def test_files_fit_the_factory(torch: Any, tmp_path: Path) -> None:
    from examples.tracking.model import TrackGNN, build
    from examples.tracking.train import EVENTS, write

    write(TrackGNN(), tmp_path)
    build().load_state_dict(torch.load(tmp_path / "track_gnn.pt", weights_only=True))
    sizes = set()
    for name in EVENTS:
        with np.load(tmp_path / name) as arrays:
            assert sorted(arrays.files) == ["edge_index", "x"]
            sizes.add((arrays["x"].shape[0], arrays["edge_index"].shape[1]))
    assert len(sizes) == len(EVENTS)
