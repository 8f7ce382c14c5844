"""Two arrays of one type and shape -> the difference of each element, and its totals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array
from portinf.core.signature import dtype_by_numpy
from portinf.validation.tally import Histogram, Tally, Value, Worst

__all__ = ["measure", "out_of"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Differences:
    """One entry per element, in the arrays' shape: difference, relative difference, share of the tolerance, verdict, bound."""

    absolute: Floats
    relative: Floats
    score: Floats
    wrong: Bools
    allowed: Floats
    nan_reference: int = 0
    nan_candidate: int = 0
    same_nan: bool = True
    same_inf: bool = True


def measure(reference: Array, candidate: Array, *, rtol: float, atol: Floats | float, allow_nan: bool, case: str = "") -> Tally:
    """Compare two arrays element by element.

    Floats of every width are compared in float64, so nothing overflows on the way; integers exactly, at full 64 bits; a
    NaN equals a NaN only with ``allow_nan``; an infinity equals an infinity of the same sign and nothing else.

    Args:
        reference, candidate: of the same shape and type.
        rtol, atol: a difference may be up to ``atol + rtol * |reference|`` (floats only); ``atol`` for all elements, or an array
            that broadcasts to them.
        allow_nan: NaN at the same place on both sides is right.
        case: kept with the worst element.
    """
    kind = dtype_by_numpy(str(reference.dtype))
    if reference.size and kind.numpy != "object" and np.array_equal(reference, candidate):  # no NaN: it equals nothing
        return Tally(count=int(reference.size), histogram=Histogram(exact=int(reference.size)))
    if kind.is_float:
        found = _floats(reference, candidate, rtol, atol, allow_nan)
    elif kind.is_integer:
        found = _integers(reference.ravel(), candidate.ravel())
    else:
        found = _symbols(reference.ravel(), candidate.ravel())
    return _summed(found, reference, candidate, case)


def out_of(reference: Array, candidate: Array, rtol: float, atol: Floats | float, *, allow_nan: bool = True) -> Bools:
    """Say of each element of two arrays of one shape and type whether it is out of the tolerance."""
    if dtype_by_numpy(str(reference.dtype)).is_float:
        return _floats(reference, candidate, rtol, atol, allow_nan).wrong
    return np.asarray(reference != candidate, dtype=np.bool_).reshape(reference.shape)


def _floats(reference: Array, candidate: Array, rtol: float, atol: Floats | float, allow_nan: bool) -> _Differences:
    r, c = reference.astype(np.float64), candidate.astype(np.float64)
    with np.errstate(all="ignore"):
        usual = bool(np.min(atol, initial=1.0) > 0) and bool(np.isfinite(r.sum() + c.sum()))
        plain = _plain(r, c, rtol, atol) if usual else None
    if plain is not None:
        return plain
    nan_r, nan_c = np.isnan(r), np.isnan(c)
    either, both = nan_r | nan_c, nan_r & nan_c
    with np.errstate(all="ignore"):
        allowed = atol + rtol * np.abs(r)
        absolute = np.asarray(np.abs(c - r))
        absolute[(r == c) | both] = 0.0
        absolute[either & ~both] = np.inf
        wrong = np.asarray(~(absolute <= allowed) & (absolute > 0) | np.isinf(absolute))
        relative = _share(absolute, np.maximum(np.abs(r), atol))
        score = absolute.copy() if rtol == 0 and not np.any(atol) else _share(absolute, allowed)
    if not allow_nan:
        wrong |= either
        score[both] = np.inf
    return _Differences(
        absolute=absolute,
        relative=relative,
        score=score,
        wrong=wrong,
        allowed=np.asarray(allowed),
        nan_reference=int(nan_r.sum()),
        nan_candidate=int(nan_c.sum()),
        same_nan=bool(np.array_equal(nan_r, nan_c)),
        same_inf=all(np.array_equal(r == sign, c == sign) for sign in (np.inf, -np.inf)),
    )


def _plain(r: Floats, c: Floats, rtol: float, atol: Floats | float) -> _Differences | None:
    """Compare finite numbers with bounds above 0, in few passes; None where a difference overflows: the general way, faster."""
    absolute = np.asarray(np.abs(c - r))
    if not np.isfinite(absolute.max(initial=0.0)):
        return None
    sizes = np.asarray(np.abs(r))
    allowed = np.asarray(rtol * sizes)
    allowed += atol
    return _Differences(
        absolute=absolute,
        relative=np.asarray(absolute / np.maximum(sizes, atol, out=sizes)),
        score=np.asarray(absolute / allowed),
        wrong=np.asarray(absolute > allowed),
        allowed=allowed,
    )


def _share(part: Floats, whole: Floats) -> Floats:
    """Divide; 0 where there is no difference, infinite where the whole is 0, infinite or NaN and there is one."""
    share = np.asarray(part / whole)
    share[np.isnan(share)] = np.inf
    share[part == 0] = 0.0
    return share


def _integers(reference: Array, candidate: Array) -> _Differences:
    wide = np.uint64 if reference.dtype.kind == "u" else np.int64
    r, c = reference.astype(wide), candidate.astype(wide)
    # Unsigned arithmetic wraps, so larger minus smaller is exact for any two 64-bit numbers.
    ur, uc = r.view(np.uint64), c.view(np.uint64)
    absolute = np.where(r >= c, ur - uc, uc - ur).astype(np.float64)
    return _exact(absolute, _share_of(absolute, np.abs(r.astype(np.float64))), r != c)


def _share_of(part: Floats, whole: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return _share(part, whole)


def _symbols(reference: Array, candidate: Array) -> _Differences:
    """Booleans and strings: equal or not; bytes count as their UTF-8 text."""
    if reference.dtype == np.bool_:
        wrong = np.asarray(reference != candidate)
        return _exact(wrong.astype(np.float64), wrong.astype(np.float64), wrong)
    pairs = zip(reference, candidate, strict=True)
    wrong = np.fromiter((_text(a) != _text(b) for a, b in pairs), dtype=np.bool_, count=reference.size)
    return _exact(wrong.astype(np.float64), wrong.astype(np.float64), wrong)


def _text(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _exact(absolute: Floats, relative: Floats, wrong: Bools) -> _Differences:
    return _Differences(absolute=absolute, relative=relative, score=absolute, wrong=wrong, allowed=np.zeros_like(absolute))


def _summed(found: _Differences, reference: Array, candidate: Array, case: str) -> Tally:
    if not reference.size:
        return Tally()
    return Tally(
        count=int(reference.size),
        wrong=int(found.wrong.sum()),
        max_abs=float(found.absolute.max()),
        max_rel=float(found.relative.max()),
        nan_reference=found.nan_reference,
        nan_candidate=found.nan_candidate,
        same_nan=found.same_nan,
        same_inf=found.same_inf,
        worst=_worst(found, reference, candidate, case),
        histogram=_histogram(found.absolute),
    )


def _worst(found: _Differences, reference: Array, candidate: Array, case: str) -> Worst | None:
    flat = int(found.score.argmax())
    if found.score.flat[flat] == 0:
        return None
    return Worst(
        case=case,
        index=tuple(int(i) for i in np.unravel_index(flat, reference.shape)),
        reference=_value(reference.ravel()[flat]),
        candidate=_value(candidate.ravel()[flat]),
        allowed=float(found.allowed.flat[flat]),
        score=float(found.score.flat[flat]),
    )


def _value(element: object) -> Value:
    if isinstance(element, (str, bytes)):
        return str(_text(element))
    if isinstance(element, (bool, np.bool_)):
        return bool(element)
    if isinstance(element, (int, np.integer)):
        return int(element)
    return float(element)  # type: ignore[arg-type]


def _histogram(absolute: Floats) -> Histogram:
    finite = absolute[np.isfinite(absolute) & (absolute > 0)]
    decades = np.floor(np.log10(finite)).astype(int)
    lowest = int(decades.min(initial=0))
    counts = np.bincount(decades - lowest)
    return Histogram(
        exact=int((absolute == 0).sum()),
        decades={lowest + k: int(n) for k, n in enumerate(counts) if n},
        not_finite=int(np.isinf(absolute).sum()),
    )
