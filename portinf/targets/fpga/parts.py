"""The name of an AMD (Xilinx) part -> known or refused, with the nearest known ones, without a vendor tool."""

from __future__ import annotations

import difflib
import re

from portinf.core.errors import CannotError

__all__ = ["DEFAULT_PART", "check_part"]

DEFAULT_PART = "xcvu13p-flga2577-2-e"  # hls4ml's own
# Devices by family, from AMD's product tables (DS180, DS890, DS950, DS1003; UG1120 for the cards); packages and speed grades
# are checked by their form only.
_SEVEN = """
xc7s6 xc7s15 xc7s25 xc7s50 xc7s75 xc7s100 xc7a12t xc7a15t xc7a25t xc7a35t xc7a50t xc7a75t xc7a100t xc7a200t xc7k70t xc7k160t
xc7k325t xc7k355t xc7k410t xc7k420t xc7k480t xc7v585t xc7v2000t xc7vx330t xc7vx415t xc7vx485t xc7vx550t xc7vx690t xc7vx980t
xc7vx1140t xc7vh580t xc7vh870t xc7z007s xc7z010 xc7z012s xc7z014s xc7z015 xc7z020 xc7z030 xc7z035 xc7z045 xc7z100
"""
_ULTRA = """
xcku025 xcku035 xcku040 xcku060 xcku085 xcku095 xcku115 xcvu065 xcvu080 xcvu095 xcvu125 xcvu160 xcvu190 xcvu440 xcku3p xcku5p
xcku9p xcku11p xcku13p xcku15p xcku19p xcvu3p xcvu5p xcvu7p xcvu9p xcvu11p xcvu13p xcvu19p xcvu23p xcvu27p xcvu29p xcvu31p
xcvu33p xcvu35p xcvu37p xcvu45p xcvu47p xcvu57p xczu1cg xczu1eg xczu2cg xczu2eg xczu3cg xczu3eg xczu3tcg xczu3teg xczu4cg
xczu4eg xczu4ev xczu5cg xczu5eg xczu5ev xczu6cg xczu6eg xczu7cg xczu7eg xczu7ev xczu9cg xczu9eg xczu11eg xczu15eg xczu17eg
xczu19eg xczu21dr xczu25dr xczu27dr xczu28dr xczu29dr xczu39dr xczu42dr xczu43dr xczu46dr xczu47dr xczu48dr xczu49dr xczu63dr
xczu64dr xczu65dr xczu67dr xcau7p xcau10p xcau15p xcau20p xcau25p xck24 xck26 xcu25 xcu26 xcu30 xcu50 xcu55c xcu55n xcu200
xcu250 xcu280
"""
_VERSAL = """
xcvc1502 xcvc1702 xcvc1802 xcvc1902 xcvc2602 xcvc2802 xcve1752 xcve2002 xcve2102 xcve2202 xcve2302 xcve2602 xcve2802 xcvm1102
xcvm1302 xcvm1402 xcvm1502 xcvm1802 xcvm2202 xcvm2302 xcvm2502 xcvm2902 xcvp1002 xcvp1052 xcvp1102 xcvp1202 xcvp1402 xcvp1502
xcvp1552 xcvp1702 xcvp1802 xcvp1902 xcvp2502 xcvp2802 xcvh1522 xcvh1542 xcvh1582 xcvh1742 xcvh1782
"""
# form of what follows the device: package and speed grade
_FORMS = {
    _SEVEN: (r"[a-z]{2,3}g?\d{3,4}-[123]l?[ie]?(-[a-z]+)?", "xc7k325tffg900-2"),
    _ULTRA: (r"-[a-z]{3,4}\d{3,4}-[1-3][lm]?[hv]*-[eicm]", "xcvu13p-flga2577-2-e"),
    _VERSAL: (r"-[a-z]{4}\d{3,4}-[1-3][lmh]p-[eicm]-[a-z]", "xcvc1902-vsva2197-2mp-e-s"),
}


def check_part(part: str) -> None:
    """Refuse a part that does not exist.

    Raises:
        CannotError: no such device, or no package and speed grade of the form of its family.
    """
    found = _device(part.lower())
    if found is None:
        start = part.lower().partition("-")[0]
        near = difflib.get_close_matches(start, [name for names in _FORMS for name in names.split()], n=3, cutoff=0.5)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise CannotError(f"--part {part}: no such device of AMD; expected a part such as {DEFAULT_PART}{hint}")
    device, rest, form, example = found
    if not re.fullmatch(form, rest):
        raise CannotError(
            f"--part {part}: device {device} is known, '{rest or 'nothing'}' is no package and speed grade of it; "
            f"expected the form of {example}"
        )


def _device(part: str) -> tuple[str, str, str, str] | None:
    """Return device, rest, and form and example of the rest."""
    best: tuple[str, str, str, str] | None = None
    for names, (form, example) in _FORMS.items():
        for name in names.split():
            follows = part[len(name) : len(name) + 1]
            fits = follows in ("", "-") or (names is _SEVEN and follows.isalpha())
            if part.startswith(name) and fits and (best is None or len(name) > len(best[0])):
                best = name, part[len(name) :], form, example
    return best
