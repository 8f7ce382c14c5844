"""The table of Triton releases: who reads a file, what to write, and how errors name the neighbours."""

from __future__ import annotations

import pytest

from portinf.core.errors import CannotError, UsageError
from portinf.triton.releases import limits, oldest_reader, pick, ranges, readers, release, releases, unknown_readers


def test_the_table_is_in_order_and_unique() -> None:
    names = [row.name for row in releases()]
    assert names == sorted(set(names))
    assert len(names) > 50


def test_release_of_unknown_limits_is_neither_reader_nor_forgotten() -> None:
    assert "22.05" not in readers(1, 3)
    assert "22.05" in unknown_readers()
    assert set(readers(1, 3)) | set(unknown_readers()) == {row.name for row in releases()}


@pytest.mark.parametrize(("opset", "ir", "oldest"), [(18, 8, "23.05"), (19, 9, "23.09"), (17, 10, "24.05"), (99, 8, None)])
def test_oldest_reader(opset: int, ir: int, oldest: str | None) -> None:
    assert oldest_reader(opset, ir) == oldest


def test_limits_known_unknown_and_malformed() -> None:
    assert (limits("23.05").max_opset, limits("23.05").max_ir) == (18, 9)
    with pytest.raises(CannotError, match=r"22\.05 .*not known; releases from 23\.05 on are"):
        limits("22.05")
    with pytest.raises(UsageError, match=r"'24\.5': expected YY\.MM"):
        limits("24.5")


def test_a_release_that_is_not_there_names_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"nearest are 22\.01 and 22\.02"):
        release("21.07")
    last = releases()[-1].name
    with pytest.raises(UsageError, match=last.replace(".", r"\.")):
        release("39.01")


def test_the_default_is_read_by_every_release_of_known_limits() -> None:
    opset, ir = pick()
    assert set(readers(opset, ir)) == {row.name for row in releases()} - set(unknown_readers())


def test_every_release_of_known_limits_reads_what_is_picked_for_it() -> None:
    for name in readers(1, 3):
        assert name in readers(*pick(name))


def test_pick_with_a_needed_opset() -> None:
    assert pick("26.08", needed_opset=22)[0] == 22
    assert pick(needed_opset=20)[0] == 20
    with pytest.raises(CannotError, match=r"23\.05 reads opsets up to 18, this model needs 20; .* is 24\.03"):
        pick("23.05", needed_opset=20)
    with pytest.raises(CannotError, match="no known release reads it"):
        pick("23.05", needed_opset=99)


def test_ranges_are_compact() -> None:
    assert ranges(readers(18, 8)) == f"23.05 to {releases()[-1].name}"
    assert ranges(["23.05", "23.07", "23.06", "24.01"]) == "23.05 to 23.07, 24.01"
    assert ranges([]) == "none"
