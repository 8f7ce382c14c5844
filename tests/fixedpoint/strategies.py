"""Formats and raw numbers that hypothesis draws."""

from __future__ import annotations

from hypothesis import strategies as st

from portinf.fixedpoint.formats import OVERFLOWS, ROUNDINGS, Format


def formats(widest: int = 24) -> st.SearchStrategy[Format]:
    """Any format of up to so many bits, the point within 8 bits of either end."""
    widths = st.integers(2, widest)
    return widths.flatmap(
        lambda width: st.builds(
            Format,
            st.just(width),
            st.integers(-8, width + 8),
            st.booleans(),
            st.sampled_from(ROUNDINGS),
            st.sampled_from(OVERFLOWS),
        )
    )


def raw_numbers(format: Format) -> st.SearchStrategy[int]:
    """Raw numbers of a format, its ends more often than others."""
    ends = [format.low, format.high, 0, min(1, format.high), max(-1, format.low)]
    return st.one_of(st.sampled_from(ends), st.integers(format.low, format.high))
