"""What runs in a separate process: its failures are errors of portinf here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from portinf.core.child import python_command, run_module, run_program
from portinf.core.errors import CannotError, MissingPackageError


def test_a_program_that_fails_is_told_by_its_first_error(tmp_path: Path) -> None:
    code = "import sys; print('warning: w'); print('a.cpp:1: Error: no such thing'); sys.exit(3)"
    with pytest.raises(CannotError, match=r"python\S* cannot compile it: a.cpp:1: Error: no such thing$"):
        run_program([sys.executable, "-c", code], task="compile it", seconds=30, folder=tmp_path)
    with pytest.raises(CannotError, match=r"did not compile it within 0.1 s$"):
        run_program([sys.executable, "-c", "import time; time.sleep(9)"], task="compile it", seconds=0.1, folder=tmp_path)
    assert run_program([sys.executable, "-c", "print(1)"], task="count", seconds=30, folder=tmp_path) == "1\n"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("raise errors.CannotError('no\\n layer x')", CannotError, "^no layer x$"),
        ("raise errors.MissingPackageError('tool is not installed')", MissingPackageError, "^tool is not installed$"),
        ("raise ValueError('odd')", CannotError, "^the tool failed: ValueError: odd$"),
        ("import os; os._exit(9)", CannotError, "^the tool failed: no message$"),
        ("import time; time.sleep(9)", CannotError, "^the tool did not write it within 1 s$"),
    ],
)
def test_a_module_that_fails_fails_here(
    body: str, kind: type[Exception], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work_of_a_test.py").write_text(f"from portinf.core import errors\ndef main(a, b):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(kind, match=text):
        run_module("work_of_a_test", "1", "2", tool="the tool", task="write it", seconds=1)


def test_the_current_folder_shadows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    command = python_command("import json, portinf; print(portinf.__file__)")
    assert run_program(command, task="import", seconds=30, folder=tmp_path).strip().endswith("portinf/__init__.py")
