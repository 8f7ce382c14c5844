"""The search for islands, on nodes whose errors add up in squares."""

from __future__ import annotations

import math

import pytest

from portinf.mixed_precision import Trial, find_islands

NODES = [f"n{number}" for number in range(200)]


class Errors:
    """A trial by planted errors, which counts."""

    def __init__(self, **errors: float) -> None:
        self.errors, self.count = errors, 0

    def __call__(self, islands: frozenset[str]) -> Trial:
        self.count += 1
        excess = math.sqrt(sum(error**2 for name, error in self.errors.items() if name not in islands))
        return Trial(holds=excess <= 1, excess=excess)


def test_nothing_is_kept_where_everything_holds() -> None:
    errors = Errors(n3=0.5)
    found = find_islands(NODES, errors)
    assert found.islands == frozenset() and errors.count == 1


def test_the_guess_is_kept() -> None:
    errors = Errors(n3=math.inf)
    found = find_islands(NODES, errors, guess=["n3", "not there"])
    assert found.islands == {"n3"} and errors.count == 1


@pytest.mark.parametrize("culprits", [["n0"], ["n77"], ["n199"], ["n10", "n11"], ["n5", "n120", "n180"]])
def test_culprits_are_found_in_few_trials(culprits: list[str]) -> None:
    errors = Errors(**dict.fromkeys(culprits, math.inf))
    found = find_islands(NODES, errors)
    assert found.islands == set(culprits)
    assert errors.count == found.trials <= 3 + 18 * len(culprits)
    assert all(found.alone[name] == math.inf for name in culprits)


def test_delicate_nodes_are_a_second_guess_and_are_thinned_out() -> None:
    errors = Errors(n50=3.0)
    found = find_islands(NODES, errors, delicate=["n10", "n50", "n90"])
    assert found.islands == {"n50"} and found.trials <= 6


def test_many_small_errors_leave_a_part_lowered() -> None:
    found = find_islands(NODES, Errors(**dict.fromkeys(NODES, 0.1)))  # together 1.4: at most 100 may stay
    assert found.islands is not None and 100 <= len(found.islands) < 180


def test_errors_that_add_up_in_full_are_believed() -> None:
    errors = dict.fromkeys(NODES[:8], 0.3)

    def trial(islands: frozenset[str]) -> Trial:
        excess = sum(error for name, error in errors.items() if name not in islands)
        return Trial(holds=excess <= 1, excess=excess)

    found = find_islands(NODES[:16], trial)
    assert found.islands is not None and trial(found.islands).holds and len(found.islands) <= 7


def test_hopeless_cases_end_early() -> None:
    errors = Errors(**dict.fromkeys(NODES, 50.0))
    found = find_islands(NODES, errors)
    assert found.islands is None and errors.count <= 20 and found.first.excess > 600


def test_the_number_of_trials_is_bounded() -> None:
    errors = Errors(**{name: 2.0 for number, name in enumerate(NODES) if number % 9 == 0})
    assert find_islands(NODES, errors, most=30).trials <= 30


@pytest.mark.parametrize("nodes", [["n0"], []])
def test_one_node_or_none(nodes: list[str]) -> None:
    assert find_islands(nodes, Errors(n0=5.0)).islands in (None, frozenset())
    assert find_islands(["n0"], Errors(n0=5.0)).islands is None
