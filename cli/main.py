"""The ``portinf`` command: finds the sub-command, turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

import click
import cloup

from portinf import __version__
from portinf.core.errors import PortinfError, UsageError

__all__ = ["COMMANDS", "cli", "main"]

# command -> module whose attribute ``command`` is the click command; imported when it is needed
COMMANDS: dict[str, str] = {
    "convert": "portinf.cli.convert",
    "optimize": "portinf.cli.optimize",
    "validate": "portinf.cli.validate",
    "package": "portinf.cli.package",
    "serve-local": "portinf.cli.serve_local",
    "inspect": "portinf.cli.inspect",
    "sample": "portinf.cli.sample",
    "doctor": "portinf.cli.doctor",
}
BUG = 1
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command's module only when the command is named or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, with ``--debug`` added."""
        if cmd_name not in COMMANDS:
            return None
        command: cloup.Command = importlib.import_module(COMMANDS[cmd_name]).command
        if not any(parameter.name == "debug" for parameter in command.params):
            debug = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
            command.params.append(debug)
            command.ungrouped_options.append(debug)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the commands there are when one is not known."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command '{args[0]}'; there are: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="portinf")
def cli() -> None:
    """Convert, optimise, validate, package and serve trained models with Triton.

    \b
    Exit codes: 0 done; 2 usage, or an unreadable file; 3 a package is missing;
    4 not possible with this model; 5 the numbers disagree; 6 serving failed;
    130 interrupted; 1 is a bug of portinf.
    """


def _run(arguments: list[str]) -> int:
    try:
        value: Any = cli.main(args=arguments, prog_name="portinf", standalone_mode=False)
    except click.exceptions.Abort as error:  # what click makes of Ctrl-C
        raise KeyboardInterrupt from error
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return UsageError.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "portinf"
        raise UsageError(f"{error.format_message().rstrip('.')}; see {command} --help") from error
    return value if isinstance(value, int) else 0


def _one_line(error: PortinfError) -> str:
    return " ".join(str(error).split())


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; the only place where errors become text."""
    debug = "--debug" in arguments
    try:
        return _run(arguments)
    except PortinfError as error:
        if debug:
            traceback.print_exc()
        print(f"portinf: error: {_one_line(error)}", file=sys.stderr)
        if error.example:
            print(error.example, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        print("portinf: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 (the last resort: a bug says that it is one)
        if debug:
            traceback.print_exc()
        text = (str(error).splitlines() or [""])[0]
        print(
            f"portinf: this is a bug of portinf ({type(error).__name__}: {text}); "
            "run again with --debug and report the traceback",
            file=sys.stderr,
        )
        return BUG


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))
