"""Trains the track-finding example and writes ``track_gnn.pt`` and two events into a folder.

python -m examples.tracking.train demo-output/tracking
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from examples.tracking.detector import Event, Float32, Float64, generate, segment_slopes
from examples.tracking.model import TrackGNN

__all__ = ["EVENTS", "Quality", "area_under_curve", "quality", "scores", "train", "write"]

SEED = 1810_06111
TRAINING_EVENTS = 60
TEST_EVENTS = 8
PARTICLES = 250  # in each event for training and test
EPOCHS = 10
EVENTS = {"event_a.npz": 100, "event_b.npz": 350}  # file name: particles in it
THREADS = 1  # graphs of this size do not gain from more


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well scores find the true segments.

    Attributes:
        auc: area under the curve of true-positive against false-positive rate.
        efficiency: share of the true segments among the edges that are kept.
        purity: share of true segments among the edges kept.
    """

    auc: float
    efficiency: float
    purity: float


def train(events: Sequence[Event], epochs: int = EPOCHS) -> TrackGNN:
    """Return the network trained on the events, in evaluation mode; one event is one step."""
    torch.manual_seed(SEED)
    model = TrackGNN()
    model.train()
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=epochs * len(events))
    order = np.random.default_rng(SEED)
    for _ in range(epochs):
        for index in order.permutation(len(events)):
            optimiser.zero_grad()
            _loss(model, events[index]).backward()
            optimiser.step()
            schedule.step()
    model.eval()
    return model


def scores(model: TrackGNN, event: Event) -> Float32:
    """Return the network's score of each edge, shape [edge]."""
    with torch.no_grad():
        found = model(torch.from_numpy(event.x), torch.from_numpy(event.edge_index))
    return np.asarray(found.numpy(), dtype=np.float32)


def straightness(event: Event) -> Float64:
    """The baseline's score of each edge [edge]: higher for segments that are straighter and point at the beam spot."""
    slope, z0 = segment_slopes(event.x, event.edge_index)
    return np.asarray(-((slope / 0.0003) ** 2) - (z0 / 55.0) ** 2)


def quality(found: Sequence[Float32 | Float64], events: Sequence[Event], threshold: float) -> Quality:
    """Judge scores, one array [edge] for each event; edges with a score above the threshold count as kept."""
    score = np.concatenate(list(found)).astype(np.float64)
    true = np.concatenate([event.label for event in events]) > 0.5
    kept = score > threshold
    both = int((kept & true).sum())
    return Quality(auc=area_under_curve(score, true), efficiency=both / int(true.sum()), purity=both / max(int(kept.sum()), 1))


def area_under_curve(score: np.ndarray, true: np.ndarray) -> float:
    """Probability that a true edge scores above a false one; equal scores share a rank (Mann-Whitney statistic)."""
    _, group, size = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(size) - (size - 1) / 2.0
    positive, negative = int(true.sum()), int((~true).sum())
    return float((rank[group][true].sum() - positive * (positive + 1) / 2.0) / (positive * negative))


def write(model: TrackGNN, folder: Path) -> None:
    """Write the weights and the events; each file appears complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for offset, (name, particles) in enumerate(EVENTS.items()):
        event = generate(particles, SEED + 10_000 + offset)
        part = folder / f".part-{name}"
        np.savez(part, x=event.x, edge_index=event.edge_index)
        part.replace(folder / name)
    part = folder / ".part-track_gnn.pt"
    torch.save(model.state_dict(), part)
    part.replace(folder / "track_gnn.pt")


def _loss(model: TrackGNN, event: Event) -> torch.Tensor:
    """Cross entropy between the scores and the labels of one event."""
    logits = model.logits(torch.from_numpy(event.x), torch.from_numpy(event.edge_index))
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(event.label))


def _print_comparison(model: TrackGNN) -> None:
    """Print the quality on events that the training did not see, beside two baselines."""
    events = [generate(PARTICLES, SEED + 1000 + index) for index in range(TEST_EVENTS)]
    network = quality([scores(model, event) for event in events], events, 0.5)
    # the straightest segments, as many as there are true ones: where efficiency equals purity
    straight = [straightness(event) for event in events]
    true_share = float(np.mean(np.concatenate([event.label for event in events])))
    cut = quality(straight, events, float(np.quantile(np.concatenate(straight), 1.0 - true_share)))
    everything = quality([np.ones(len(event.label)) for event in events], events, 0.5)
    missed = sum(event.missed for event in events) / sum(event.missed + event.label.sum() for event in events)
    print(f"{TEST_EVENTS} test events of {PARTICLES} particles; {100 * missed:.1f} % of the true segments are not in the graph")
    for name, found in (("network", network), ("straight segments", cut), ("keep every edge", everything)):
        efficiency, purity = 100 * found.efficiency, 100 * found.purity
        print(f"{name:18s} AUC {found.auc:.4f}   efficiency {efficiency:5.1f} %   purity {purity:5.1f} %")


def main() -> None:
    """Parse the command line, train, write and report."""
    parser = argparse.ArgumentParser(description="Train the track-finding example.")
    parser.add_argument("folder", type=Path, help="where to write track_gnn.pt, event_a.npz and event_b.npz")
    folder: Path = parser.parse_args().folder
    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    model = train([generate(PARTICLES, SEED + index) for index in range(TRAINING_EVENTS)])
    seconds = time.perf_counter() - start
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"{parameters} parameters, trained on {TRAINING_EVENTS} events in {seconds:.1f} s")
    _print_comparison(model)
    write(model, folder)
    print(f"wrote {folder / 'track_gnn.pt'} and {', '.join(EVENTS)}")


if __name__ == "__main__":
    main()
