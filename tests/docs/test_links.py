"""Links, anchors and paths that the documentation names lead somewhere; what must not be in it is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:portinf|cli|converters|tests|examples|docs|benchmarks)/[\w./-]*)`")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def _broken(page: Path) -> list[str]:
    found = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert _broken(page) == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_paths_of_the_checkout_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [place for place in PLACE.findall(text) if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_no_absolute_path_of_a_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users)/\S*", page.read_text(encoding="utf-8")) == []


def test_the_list_of_decisions_is_complete() -> None:
    folder = ROOT / "docs/decisions"
    listed = LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_a_decision_has_its_three_parts() -> None:
    for path in (ROOT / "docs/decisions").glob("[0-9]*.md"):
        headings = HEADING.findall(path.read_text(encoding="utf-8"))
        assert headings[1:] == ["Context", "Decision", "Consequences"], path.name
        assert headings[0].startswith(f"{int(path.name[:4])}. "), path.name


def test_the_readme_starts_with_the_two_commands() -> None:
    head = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25]
    for command in ("make demo", "make test"):
        assert any(line.startswith(command) for line in head)
        assert f"\n{command.split()[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
