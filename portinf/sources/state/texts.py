"""Texts on a model's own state: the refusal with its way out, and the notes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from portinf.core.batch import Array
from portinf.core.errors import StateError
from portinf.sources.state.access import Place
from portinf.sources.state.judging import Verdict

__all__ = ["STORED", "frozen", "harmless", "refusal", "too_large"]

SHOWN = 4  # places that are named
STORED = ("buffer", "parameter", "variable")  # what a file of weights holds
OBSERVER = re.compile("Observer|FakeQuant")  # classes of torch that watch the range of numbers, in evaluation mode too
TORCH = ("pytorch", "torchscript", "pt2")


def _named(places: Sequence[Place]) -> str:
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return ", ".join(str(place) for place in places[:SHOWN]) + more


def frozen(places: Sequence[Place]) -> str:
    """Say what ``--freeze-state`` did."""
    return (
        f"--freeze-state: a call changes {_named(places)}; the file holds the state as loaded, "
        "and every request was compared with the model reset to it"
    )


def harmless(places: Sequence[Place]) -> str:
    """Say what a call changes without effect on later answers."""
    return f"a call changes {_named(places)}: tested, no later answer depends on it; the file does not update it"


def too_large(places: Sequence[Place]) -> str:
    """Say what cannot be put back."""
    return (
        f"a call changes {_named(places)}, which is too large to be saved and restored: take the update out of the model's call"
    )


def refusal(verdict: Verdict, framework: str, inputs: Mapping[str, Array]) -> StateError:
    """Return the refusal of a model whose later answers depend on earlier requests.

    Args:
        verdict: what a call changes, and what was seen.
        framework: of the source.
        inputs: a request, for the example.
    """
    places = verdict.harmful
    if verdict.lost:
        return StateError(
            f"a call advances {_named(places)}, an iterator, so the same request gets another answer, and an iterator cannot be "
            "reset; keep a number in a buffer or variable instead"
        )
    stored = [place for place in places if place.noun in STORED]
    plain = [place for place in places if place not in stored]
    message = f"a call changes {_named(places)}, and later answers depend on it: {verdict.why}. "
    example = ""
    if any(OBSERVER.search(place.owner) for place in places):
        message += "Switch the observers off in the factory: model.apply(torch.ao.quantization.disable_observer)"
    elif verdict.once:
        message += (
            "Only the first call does so: if it initialises the model, make that call in the factory; if it fills a cache, "
            "turn the cache off"
        )
    else:
        aside = f" (first make {_named(plain)} a {'buffer' if framework in TORCH else 'variable'})" if plain else ""
        message += f"An ONNX file keeps no state from request to request: make it an input and an output of the model{aside}"
        example = _example(stored or places, framework, list(inputs))
    return StateError(f"{message}; or, if the state as loaded is right for every request, add --freeze-state", example)


def _example(places: Sequence[Place], framework: str, inputs: Sequence[str]) -> str:
    names, given = _identifiers([place.name for place in places]), _identifiers(inputs)
    if framework in TORCH:
        return _torch_example(places, names, dict(zip(inputs, given, strict=True)))
    return _tensorflow_example(names, given) if framework == "tensorflow" else _keras_example(places, names, given)


def _identifiers(texts: Sequence[str]) -> list[str]:
    """Return one name for each text, fit for a parameter."""
    found: list[str] = []
    for text in texts:
        name = re.sub(r"\W+", "_", re.split(r"[./]", text)[-1]).strip("_") or "state"
        name = f"state_{name}" if name[0].isdigit() else name
        found.append(name if name not in found else f"{name}_{len(found)}")
    return found


def _torch_example(places: Sequence[Place], names: Sequence[str], inputs: Mapping[str, str]) -> str:
    state = ", ".join(f'"{place.name}": {name}.clone()' for place, name in zip(places, names, strict=True))
    after = ", ".join(f'state["{place.name}"]' for place in places)
    asked = ", ".join(f'"{own}": {name}' for own, name in inputs.items())
    return f"""\
class WithState(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = build()  # the model as it is

    def forward(self, {", ".join([*inputs.values(), *names])}):
        state = {{{state}}}
        answer = torch.func.functional_call(self.model, state, kwargs={{{asked}}})
        return answer, {after}"""


def _keras_example(places: Sequence[Place], names: Sequence[str], given: Sequence[str]) -> str:
    pairs = ", ".join(f"(self.{name}, {name})" for name in names)
    after = ", ".join(f'"{name}_after": scope.get_current_value(self.{name})' for name in names)
    held = "\n".join(f"        self.{name} = ...  # {place}" for place, name in zip(places, names, strict=True))
    asked = given[0] if len(given) == 1 else f"[{', '.join(given)}]"
    return f"""\
class WithState(tf.Module):
    def __init__(self):
        super().__init__()
        self.model = build()  # the model as it is
{held}

    @tf.function
    def __call__(self, {", ".join([*given, *names])}):
        with keras.StatelessScope(state_mapping=[{pairs}]) as scope:
            answer = self.model({asked}, training=False)
        return {{"answer": answer, {after}}}"""


def _tensorflow_example(names: Sequence[str], given: Sequence[str]) -> str:
    after = ", ".join(f'"{name}_after": new_{name}' for name in names)
    return f"""\
@tf.function
def with_state({", ".join([*given, *names])}):  # the state as the variables held it
    ...  # compute with {", ".join(names)} instead of reading and assigning variables
    return {{"answer": answer, {after}}}"""
