"""The FACILE example: is the sample physical and repeatable, and does its network learn?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.facile.sample import (
    IN_TIME_SLICE,
    INPUT_NAMES,
    SLICE_NS,
    SLICES,
    Sample,
    generate,
    pulse_fractions,
    sum_of_two_slices,
    time_slew,
)

CHANNELS = 20_000
LAST_BIT = 1e-12  # of sums of a few float64 numbers near 1


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate(CHANNELS, seed=5)


@pytest.fixture(scope="module")
def model() -> Any:
    pytest.importorskip("keras", reason="keras is not installed")
    from examples.facile.train import train

    return train(generate(120_000, seed=6), epochs=8)


def column(sample: Sample, name: str) -> np.ndarray:
    return sample.inputs[:, INPUT_NAMES.index(name)]


def test_there_are_fifteen_inputs_and_one_energy(sample: Sample) -> None:
    assert len(INPUT_NAMES) == len(set(INPUT_NAMES)) == 15
    assert sample.inputs.shape == (CHANNELS, 15)
    assert sample.energy.shape == (CHANNELS, 1)
    assert sample.inputs.dtype == sample.energy.dtype == np.float32


def test_everything_is_finite_and_in_its_range(sample: Sample) -> None:
    assert np.isfinite(sample.inputs).all()
    assert np.isfinite(sample.energy).all()
    assert (sample.inputs[:, :SLICES] >= 0).all()
    assert (sample.energy > 0.3).all()
    ranges = {"ieta": (-29, 29), "iphi": (1, 72), "depth": (1, 7), "phase_ns": (-5, 5), "vertices": (5, 90)}
    for name, (low, high) in ranges.items():
        assert column(sample, name).min() >= low, name
        assert column(sample, name).max() <= high, name
    assert (column(sample, "ieta") != 0).all()


def test_a_seed_gives_one_sample() -> None:
    first, again, other = generate(100, seed=1), generate(100, seed=1), generate(100, seed=2)
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.energy, again.energy)
    assert not np.array_equal(first.inputs, other.inputs)


def test_a_pulse_inside_the_window_is_seen_whole() -> None:
    fractions = pulse_fractions(np.array([0.0, 10.0, 25.0]))  # the tail has at least 175 ns left, 14 decay times
    assert (fractions >= 0).all()
    np.testing.assert_allclose(fractions.sum(axis=-1), 1.0, atol=1e-6)


def test_no_pulse_is_seen_twice_or_before_it_starts() -> None:
    starts = np.linspace(-200.0, 400.0, 601)
    fractions = pulse_fractions(starts)
    assert (fractions.sum(axis=-1) <= 1.0 + LAST_BIT).all()
    ends = SLICE_NS * np.arange(1, SLICES + 1)
    assert (fractions[starts[:, np.newaxis] >= ends] == 0).all()


def test_a_later_pulse_is_the_same_pulse_one_slice_on() -> None:
    early, late = pulse_fractions(np.array([[30.0], [30.0 + SLICE_NS]]))[:, 0]
    np.testing.assert_allclose(late[1:], early[:-1], atol=LAST_BIT)


def test_small_pulses_are_late() -> None:
    delays = time_slew(np.array([0.0, 100.0, 1e3, 1e4, 1e6]))
    assert (np.diff(delays) <= 0).all()
    assert delays[0] == 10.0
    assert delays[-1] == 0.0


def test_the_slices_add_up_to_the_deposited_energy_on_average() -> None:
    """All charge over all slices, pedestals off, times gain: the energy of all crossings, so a little more than the target."""
    sample = generate(CHANNELS, seed=9)
    charge = sample.inputs[:, :SLICES].sum(axis=1) - SLICES * column(sample, "pedestal_fc")
    total = charge * column(sample, "gain_gev_per_fc")
    hard = sample.energy[:, 0] > 50.0  # where pile-up is a small part
    ratio = float(np.median(total[hard] / sample.energy[hard, 0]))
    assert 1.0 < ratio < 1.1


def test_the_pulse_stands_in_its_slice(sample: Sample) -> None:
    hard = sample.energy[:, 0] > 50.0
    assert (sample.inputs[hard, :SLICES].argmax(axis=1) == IN_TIME_SLICE).mean() > 0.99


def test_the_baseline_has_the_right_scale_at_high_energy(sample: Sample) -> None:
    hard = sample.energy > 50.0
    ratio = sum_of_two_slices(sample.inputs)[hard] / sample.energy[hard]
    assert abs(float(np.median(ratio)) - 1.0) < 0.02


def test_the_model_has_about_two_thousand_parameters(model: Any) -> None:
    assert 1800 <= model.count_params() <= 2200
    assert [tensor.name for tensor in model.inputs] == ["channels"]
    assert model.layers[-1].name == "energy"


def test_training_beats_the_baseline(model: Any, sample: Sample) -> None:
    from examples.facile.train import mean_pull

    network = mean_pull(model.predict(sample.inputs, batch_size=4096, verbose=0), sample.energy)
    assert network < 0.75 * mean_pull(sum_of_two_slices(sample.inputs), sample.energy)


def test_files_are_keyed_by_the_input_name(model: Any, tmp_path: Path) -> None:
    from examples.facile.train import EVENTS, write

    write(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*EVENTS, "facile.keras"])
    for name, channels in EVENTS.items():
        with np.load(tmp_path / name) as arrays:
            assert arrays.files == ["channels"]
            assert arrays["channels"].shape == (channels, 15)
