"""Messages, help texts and docstrings use the field's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BANNED = re.compile(
    r"(?<![.\w])(hops?|apart|aloud|proved|wardens?|mend(s|ed|ing)?|come by|held against|all the same|(behind|before) the point)\b",
    re.IGNORECASE,
)
KEYS = {"hop", "hops"}  # of JSON reports


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in KEYS:
            yield node.lineno, node.value


def test_no_text_has_a_word_that_readers_do_not_know() -> None:
    files = [path for folder in ("portinf", "cli", "converters") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [f"{path}:{line}: {match[0]}" for path in files for line, text in _texts(path) if (match := BANNED.search(text))]
    assert len(files) > 300
    assert found == []
