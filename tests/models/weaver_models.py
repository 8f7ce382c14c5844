"""weaver-core's jet taggers, with fixed weights: every factory takes no argument and returns an nn.Module."""

from typing import Any

import torch
from torch import Tensor, nn
from weaver.nn.model.ParticleNet import ParticleNet, ParticleNetTagger
from weaver.nn.model.ParticleTransformer import ParticleTransformer

FEATURES = 7
CLASSES = 4


def _trained(model: nn.Module, attention: float = 3.0) -> nn.Module:
    """Give normalisations and weights the spread that training gives, so that every input matters to the answer.

    Args:
        model: just made; changed in place.
        attention: factor of the weights that make queries, keys and values.
    """
    generator = torch.Generator().manual_seed(7)
    for name, part in model.named_modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.copy_(0.1 * torch.randn(part.num_features, generator=generator))
            part.running_var.copy_(0.5 + torch.rand(part.num_features, generator=generator))
        if name.endswith("pair_embed.embed.0") and part.num_features == 4:  # ln kt, ln z, ln delta, ln m2
            part.running_mean.copy_(torch.tensor([0.0, -2.0, -1.0, 2.0]))
            part.running_var.copy_(torch.tensor([4.0, 1.0, 1.0, 6.0]))
    for name, weight in model.named_parameters():
        if name.endswith("in_proj.weight"):
            weight.data.mul_(attention)
    return model


class Transformer(nn.Module):
    """The wrapper of weaver's own configurations: it is given the points too, and does not look at them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.mod = ParticleTransformer(**settings)

    def forward(self, points: Tensor, features: Tensor, lorentz_vectors: Tensor, mask: Tensor) -> Tensor:
        return self.mod(features, v=lorentz_vectors, mask=mask)


def _net(**more: Any) -> nn.Module:
    torch.manual_seed(1)
    small: dict[str, Any] = {"conv_params": [(7, (16, 16, 16)), (7, (24, 24, 24))], "fc_params": [(32, 0.1)]}
    return _trained(ParticleNet(FEATURES, CLASSES, **(small | more)))


def _small(**more: Any) -> dict[str, Any]:
    small: dict[str, Any] = {"embed_dims": [16, 64, 16], "pair_embed_dims": [8, 8], "num_heads": 2, "num_layers": 2}
    return {"input_dim": FEATURES, "num_classes": CLASSES, "pair_input_dim": 4, "num_cls_layers": 1} | small | more


def _transformer(**more: Any) -> nn.Module:
    torch.manual_seed(1)
    return _trained(Transformer(**_small(**more)))


def particle_net() -> nn.Module:
    return _net()


def particle_net_inference() -> nn.Module:
    return _net(for_inference=True)


def particle_net_full() -> nn.Module:
    """The sizes of weaver's configuration for JetClass."""
    convolutions = [(16, (64, 64, 64)), (16, (128, 128, 128)), (16, (256, 256, 256))]
    return _net(conv_params=convolutions, fc_params=[(256, 0.1)])


def particle_net_segmentation() -> nn.Module:
    return _net(for_segmentation=True)


def particle_net_tagger() -> nn.Module:
    torch.manual_seed(1)
    return _trained(ParticleNetTagger(FEATURES, 5, CLASSES, conv_params=[(7, (16, 16))], fc_params=[(32, 0.1)]))


def particle_transformer() -> nn.Module:
    return _transformer()


def particle_transformer_inference() -> nn.Module:
    return _transformer(for_inference=True)


def particle_transformer_bare() -> nn.Module:
    """The class itself, whose inputs are x, v and mask."""
    torch.manual_seed(1)
    return _trained(ParticleTransformer(**_small()))


def particle_transformer_ordered_pairs() -> nn.Module:
    """Features of pairs that differ with the order of the two, and no pair of a particle with itself."""
    return _transformer(pair_input_dim=8, remove_self_pair=True, pair_embed_sparse_eval=(False, False))


def particle_transformer_ordered_self_pairs() -> nn.Module:
    """The sixth of these features is the direction of a particle at rest where a particle is paired with itself."""
    return _transformer(pair_input_dim=8)


def particle_transformer_no_self_pairs() -> nn.Module:
    return _transformer(remove_self_pair=True)


def particle_transformer_3() -> nn.Module:
    """Version 3: root mean square normalisation, gated layers; one token for the jet from the first layer on."""
    return _transformer(version=3, include_global_token=True, num_cls_layers=0)


def particle_transformer_full() -> nn.Module:
    """The sizes of weaver's configuration for JetClass; with a factor of 3 float32 itself would be 4e-5 off float64."""
    torch.manual_seed(1)
    sizes: dict[str, Any] = {"embed_dims": [128, 512, 128], "pair_embed_dims": [64, 64, 64], "num_heads": 8}
    return _trained(Transformer(**_small(**sizes, num_layers=8, num_cls_layers=2)), attention=1.5)
