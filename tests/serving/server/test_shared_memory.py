"""Only the regions of one server are removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portinf.serving.server.shared_memory import new_prefix, regions, remove_regions


def test_prefixes_differ_and_are_valid_identifiers() -> None:
    first, second = new_prefix(), new_prefix()
    assert first != second
    assert re.fullmatch(r"portinf_[0-9a-f]{12}_", first)


def test_only_regions_with_the_prefix_are_removed(tmp_path: Path) -> None:
    for name in ("portinf_aa_1", "portinf_aa_2", "portinf_ab_1", "triton_1"):
        (tmp_path / name).touch()
    assert [path.name for path in regions("portinf_aa_", tmp_path)] == ["portinf_aa_1", "portinf_aa_2"]
    assert remove_regions("portinf_aa_", tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["portinf_ab_1", "triton_1"]


@pytest.mark.parametrize("prefix", ["", "portinf_", "sem."])
def test_a_prefix_that_would_match_others_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no prefix"):
        remove_regions(prefix, tmp_path)


def test_no_mount_no_regions(tmp_path: Path) -> None:
    assert remove_regions("portinf_aa_", tmp_path / "none") == 0
