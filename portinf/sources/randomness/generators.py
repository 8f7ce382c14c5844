"""The random number generators of a process outside of the frameworks' operations: looked at, set, and put back."""

from __future__ import annotations

import gc
import linecache
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["GLOBAL", "TORCH", "Generators", "global_states", "kept_states", "seed_all", "set_extreme"]

# modules whose functions draw from one generator, by what a message calls that
GLOBAL = {"random (its global generator)": "random", "numpy.random (its global generator)": "numpy.random"}
TORCH = "an operation of torch that is not known by name"
UNSEEDED = "numpy.random.default_rng() without a seed"
_ONES = 0x12DD9BB3  # the word of a Mersenne twister that is given out as 32 ones
_EXTREME = 600  # words of its 624; behind them it goes on at random, so that no rejection waits forever


def global_states() -> dict[str, Any]:
    """Return what the global generators of Python, numpy, torch and TensorFlow are at; equal if and only if none was used or set."""
    legacy: tuple[Any, ...] = np.random.get_state()  # type: ignore[assignment]
    _, key, *rest = legacy
    states: dict[str, Any] = {"random": random.getstate(), "numpy.random": (key.tobytes(), *rest)}
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    context: Any = sys.modules.get("tensorflow.python.eager.context")
    if context is not None:
        generator = getattr(context.context(), "_rng", None)  # of seeds for operations, where a global seed was set
        states["tensorflow"] = (context.global_seed(), generator and generator.getstate())
    return states


@contextmanager
def kept_states() -> Iterator[None]:
    """Put the global generators of Python, numpy and torch back to where they were."""
    plain, legacy, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")
    drawn = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(legacy)
        if torch is not None:
            torch.set_rng_state(drawn)


def seed_all(seed: int) -> None:
    """Set the global generators of Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def set_extreme(*, high: bool) -> None:
    """Let the global generators of Python and numpy give their smallest, or largest, numbers for a while."""
    word = _ONES if high else 0
    words = [word] * _EXTREME + np.random.RandomState(7).randint(1, 2**31, 624 - _EXTREME).tolist()
    random.setstate((3, (*words, 0), None))
    np.random.set_state(("MT19937", np.array(words, np.uint32), 0, 0, 0.0))


class Generators:
    """Every generator from which Python code of a model may draw: the global ones, those that it holds, and the system's entropy."""

    def __init__(self) -> None:
        kinds = (random.Random, np.random.Generator, np.random.RandomState)
        known = (getattr(random, "_inst", None), getattr(np.random.mtrand, "_rand", None))
        held = [item for item in gc.get_objects() if issubclass(type(item), kinds) and not any(item is one for one in known)]
        self._held = [item for item in held if type(item) is not random.SystemRandom]
        self._asked = 0

    def states(self) -> Mapping[tuple[str, int], Any]:
        """Return what each is at, by what a message calls it, and a number."""
        whole = global_states()
        states = {(shown, 0): whole.get(name) for shown, name in {**GLOBAL, TORCH: "torch"}.items()}
        states[UNSEEDED, 0] = self._asked
        return {
            **states,
            **{(f"a {type(item).__name__} that the model holds", k): _at(item) for k, item in enumerate(self._held)},
        }

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count how often numpy makes a generator that is seeded by the system."""
        module: Any = np.random.bit_generator
        original: Callable[[int], int] | None = getattr(module, "randbits", None)

        def asked(bits: int) -> int:
            frame = sys._getframe(1)
            # numpy.random.RandomState(seed) asks too, and then sets the seed
            self._asked += "RandomState" not in linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            assert original is not None
            return original(bits)

        if original is not None:
            module.randbits = asked
        try:
            yield
        finally:
            if original is not None:
                module.randbits = original


def _at(item: Any) -> bytes:
    if isinstance(item, random.Random):
        return pickle.dumps(item.getstate())
    return pickle.dumps(item.bit_generator.state if isinstance(item, np.random.Generator) else item.get_state())
