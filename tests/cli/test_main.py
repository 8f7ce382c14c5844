"""The command line as a whole: help, exit codes, errors in one line."""

from __future__ import annotations

import importlib

import cloup
import pytest

from portinf.cli import main
from portinf.core.errors import CannotError, DisagreementError, MissingPackageError, PortinfError, ServingError, UsageError
from tests.conftest import Cli


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"portinf {name}" in text
    assert "--json" in text
    assert "--debug" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("a"), 2),
        (MissingPackageError("a"), 3),
        (CannotError("a"), 4),
        (DisagreementError("a"), 5),
        (ServingError("a"), 6),
        (KeyboardInterrupt(), 130),
        (ValueError("a"), 1),
    ],
)
def test_errors_become_one_line_and_a_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @cloup.command("broken")
    def command() -> None:
        raise error

    module = importlib.import_module("portinf.cli.doctor")
    monkeypatch.setattr(module, "command", command)
    assert main.run(["doctor"]) == code
    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1
    assert ("bug of portinf" in told) == (code == 1)
    if isinstance(error, PortinfError):
        assert main.run(["doctor", "--debug"]) == code
        assert "Traceback" in capsys.readouterr().err


def test_unknown_commands_name_those_there_are(cli: Cli) -> None:
    done = cli("convrt")
    assert done.code == 2
    assert "serve-local" in done.message


def test_usage_errors_are_one_line(cli: Cli) -> None:
    assert cli("convert").message == "portinf: error: Missing argument 'SOURCE'; see portinf convert --help"
    assert "--help" in cli("package", "--no-such-option").message


def test_no_arguments_show_the_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2
    assert len(done.out.splitlines()) > 10
    assert done.err == ""
