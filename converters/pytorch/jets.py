"""Lets weaver-core's Particle Transformer embed every pair of particles while it is exported, not a number that depends on them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from portinf.core.optional import require

__all__ = ["exportable_jets"]

WEAVER = "weaver.nn.model.ParticleTransformer"


@contextmanager
def exportable_jets() -> Iterator[None]:
    """Replace ``PairEmbed.forward``: it lists the pairs that it embeds, and the exporter does not know that there are any."""
    weaver: Any = sys.modules.get(WEAVER)
    if weaver is None:
        yield
        return
    original = weaver.PairEmbed.forward
    weaver.PairEmbed.forward = _all_pairs(original)
    try:
        yield
    finally:
        weaver.PairEmbed.forward = original


def _all_pairs(original: Callable[..., Any]) -> Callable[..., Any]:
    torch = require("torch", "torch")

    def forward(self: Any, x: Any, uu: Any = None, mask: Any = None) -> Any:
        """Embed every pair and write zeros where the original has left its zeros.

        Args:
            self: a ``PairEmbed``.
            x: four-momenta, (jets, 4, particles), or None.
            uu: features of pairs, (jets, features, particles, particles), or None.
            mask: true for particles, (jets, 1, particles), or None.
        """
        sparse = mask is not None and self.sparse_eval[0 if self.training else 1]
        if not (sparse or self.is_symmetric):
            return original(self, x, uu=uu, mask=mask)
        jets, particles = (uu if x is None else x).shape[0], (uu if x is None else x).shape[-1]
        place = torch.arange(particles)
        if x is not None:
            x = self.pairwise_lv_fts(x.unsqueeze(-1), x.unsqueeze(-2))
            if self.is_symmetric:  # the original computes each pair once, the later particle first
                x = torch.where(place.unsqueeze(-1) >= place, x, x.transpose(-1, -2))
            x = x.reshape(jets, self.pairwise_lv_dim, particles * particles)
        if uu is not None:
            uu = uu.reshape(jets, self.pairwise_input_dim, particles * particles)
        pairs = self._embed_pairs(x, uu).reshape(jets, self.out_dim, particles, particles)
        if sparse:
            real = mask.bool()
            pairs = pairs.masked_fill(~(real.unsqueeze(-1) & real.unsqueeze(-2)), 0)
        if self.is_symmetric and self.remove_self_pair:
            pairs = pairs.masked_fill(place.unsqueeze(-1) == place, 0)
        return pairs

    return forward
