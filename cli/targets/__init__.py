"""The options of ``portinf optimize`` that only some targets have: one module per target, found through the registry."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import click
import cloup
from click.core import ParameterSource

from portinf.core.errors import UsageError
from portinf.targets import Target, targets

__all__ = ["check_options", "owners", "page_of", "target_options"]

F = TypeVar("F", bound=Callable[..., Any])


def page_of(target: Target) -> Any:
    """Return the module with the options of a target: ``OPTIONS``, ``GROUPS``, ``read`` and ``lines``."""
    return importlib.import_module(target.options)


def target_options(function: F) -> F:
    """Add the option group of every target."""
    for target in reversed(targets()):
        function = page_of(target).OPTIONS(function)
    return function


def owners() -> dict[str, list[str]]:
    """Return the targets that have a group of options, by its title; a group that is not there is for every target."""
    found: dict[str, list[str]] = {}
    for target in targets():
        for title in page_of(target).GROUPS:
            found.setdefault(title, []).append(target.name)
    return found


def check_options(chosen: Target) -> None:
    """Refuse the options of this command line that the target does not have.

    Raises:
        UsageError: names the option and its target.
    """
    context = click.get_current_context()
    assert isinstance(context.command, cloup.Command)
    for group in context.command.option_groups:
        names = owners().get(group.title, [chosen.name])
        for option in group.options if chosen.name not in names else ():
            if context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT:
                raise UsageError(f"{option.opts[0]}: only for --target {' and '.join(names)}, not for {chosen.name}")
