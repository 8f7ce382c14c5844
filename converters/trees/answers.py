"""Turns the sums of a tree ensemble into the answers of its model: link function, probabilities in class order, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from portinf.converters.trees.ensemble import Ensemble, raw_sums
from portinf.converters.trees.parts import DOUBLE, FLOAT, INT64, Parts
from portinf.core.batch import Array

__all__ = ["Answering", "Link", "Positive", "write_answers"]

Link = Literal["identity", "sigmoid", "softmax", "exp", "hinge", "signed square", "log1p exp", "anomaly"]
Positive = Literal["sum > 0", "sum >= 0", "probability > 0.5"]


@dataclass(frozen=True, kw_only=True)
class Answering:
    """An ensemble and what its model makes of the sums.

    Attributes:
        ensemble: the trees.
        base: added to the sums after the scale, one number per target.
        scale: factor of the sums (one over the number of trees of a forest).
        slope: factor of the sums inside the link.
        link: from sums to the answer.
        classes: class labels of each output of a classifier; empty for a regressor.
        threshold: of an isolation forest's score, below which a row is an outlier.
        positive: when a binary classifier with one sum says the second class.
    """

    ensemble: Ensemble
    base: Array
    scale: float = 1.0
    slope: float = 1.0
    link: Link = "identity"
    classes: Sequence[Array] = ()
    threshold: float = 0.0
    positive: Positive = "sum > 0"


def write_answers(parts: Parts, inputs: Sequence[str], model: Answering, *, exact: bool) -> list[str]:
    """Write the whole model; return the names of label and probabilities (one per output), or of the one answer.

    Args:
        parts: receives nodes and constants.
        inputs: names of matrices [rows, k].
        model: trees and link.
        exact: answers precise to double.
    """
    single = model.ensemble.single
    dtype = np.float32 if single else np.float64
    anomaly = model.link == "anomaly"  # rows on the very threshold are common: it is a quantile of the training rows
    sums = raw_sums(parts, inputs, model.ensemble, exact=exact or anomaly)
    if model.scale != 1.0:
        sums = parts.node("Mul", sums, parts.constant(np.array(model.scale, dtype)))
    if model.base.any():
        sums = parts.node("Add", sums, parts.constant(np.broadcast_to(model.base, (1, model.ensemble.targets)).astype(dtype)))
    if anomaly:
        return _outliers(parts, sums, model)
    if not model.classes:
        return [_linked(parts, sums, model, dtype)]
    if len(model.classes) > 1:
        return _several(parts, sums, model.classes)
    return _classified(parts, sums, model, dtype)


def _outliers(parts: Parts, sums: str, model: Answering) -> list[str]:
    """Labels 1 and -1, and scores 2 ** -depth below the threshold; sums are mean depths, already divided."""
    power = parts.node("Pow", parts.constant(np.array(2.0)), parts.node("Neg", sums))
    scores = parts.node("Sub", parts.node("Neg", power), parts.constant(np.array(model.threshold)))
    outlier = parts.node("Less", scores, parts.constant(np.array(0.0)))
    return [parts.node("Where", outlier, parts.constant(np.array(-1)), parts.constant(np.array(1))), scores]


def _linked(parts: Parts, sums: str, model: Answering, dtype: type[np.floating]) -> str:
    if model.slope != 1.0:
        sums = parts.node("Mul", sums, parts.constant(np.array(model.slope, dtype)))
    if model.link == "identity":
        return sums
    if model.link == "softmax":
        return parts.node("Softmax", sums, axis=1)
    if model.link == "hinge":
        above = parts.node("Greater", sums, parts.constant(np.array(0, dtype)))
        return parts.cast(above, FLOAT if dtype is np.float32 else DOUBLE)
    if model.link == "signed square":
        return parts.node("Mul", parts.node("Abs", sums), sums)
    if model.link == "log1p exp":
        return parts.node("Softplus", sums)
    return parts.node({"sigmoid": "Sigmoid", "exp": "Exp"}[model.link], sums)


def _classified(parts: Parts, sums: str, model: Answering, dtype: type[np.floating]) -> list[str]:
    """One label and probabilities [rows, classes]."""
    linked = _linked(parts, sums, model, dtype)
    classes = model.classes[0]
    if model.ensemble.targets > 1 or len(classes) != 2:
        return [_chosen(parts, sums if model.link in ("softmax", "identity") else linked, classes), linked]
    one = parts.constant(np.array(1, dtype))
    probabilities = parts.node("Concat", parts.node("Sub", one, linked), linked, axis=1)
    if model.positive == "probability > 0.5":
        second = parts.node("Greater", linked, parts.constant(np.array(0.5, dtype)))
    else:
        kind = "Greater" if model.positive == "sum > 0" else "GreaterOrEqual"
        second = parts.node(kind, sums, parts.constant(np.array(0, dtype)))
    flat = parts.node("Reshape", parts.cast(second, INT64), parts.constant(np.array([-1], np.int64)))
    return [parts.node("Gather", parts.constant(classes), flat, axis=0), probabilities]


def _chosen(parts: Parts, scores: str, classes: Array) -> str:
    """Return the label of the largest score, the first one where two are equal, as numpy does."""
    number = parts.node("ArgMax", scores, axis=1, keepdims=0)
    return parts.node("Gather", parts.constant(classes), number, axis=0)


def _several(parts: Parts, sums: str, classes: Sequence[Array]) -> list[str]:
    """A classifier of several outputs: labels [rows, outputs], then probabilities of each output."""
    labels, probabilities, start = [], [], 0
    for group in classes:
        end = start + len(group)
        columns = parts.constant(np.arange(start, end))
        probabilities.append(parts.node("Gather", sums, columns, axis=1))
        label = _chosen(parts, probabilities[-1], group)
        labels.append(parts.node("Reshape", label, parts.constant(np.array([-1, 1], np.int64))))
        start = end
    return [parts.node("Concat", *labels, axis=1), *probabilities]
