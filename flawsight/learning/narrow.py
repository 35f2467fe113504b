"""The widest blocks of an EfficientNet with fewer channels: the same answers but for a few, sooner.

The last stage widens its maps sixfold and holds half of the multiplications, and many of these channels say
little that others do not. ``prune`` silences those of a trained network whose loss the others can best make
up for, as measured on training pictures (Hassibi, Stork and Wolff, "Optimal brain surgeon and general network
pruning", 1993), and lets the blocks learn to give the features that the whole network gave (Romero et al.,
"FitNets: hints for thin deep nets", ICLR 2015). A silent channel is all zero, so the network keeps its shape
and can be trained on; ``without_silent`` leaves them out where a model is exported, which changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.errors import FlawsightError
from flawsight.learning.backbones import CamNet, head_of
from flawsight.learning.networks import EfficientNetFeatures
from flawsight.learning.slices import CHANNELS, some_of
from flawsight.metadata import Preprocessing
from flawsight.preprocessing import prepare

OF_EACH = 8  # pictures of each class of each data set, on which it is measured what channels say
STEPS, BATCH, SIDE = 400, 6, 192  # of learning: how long, crops at a time, and their pixels each way at most
LEARNING_RATE = 1e-4
SCORES = 0.02  # weight of what the head reads too much or too little, beside the features' relative error
RIDGE = 1e-4  # added to the moments of what they say, as a share of the mean one


def pictures_of_each(samples: Sequence[Sample], pre: Preprocessing, seed: int) -> list[Tensor]:
    """``OF_EACH`` of ``samples`` of each class, drawn by ``seed``, as inputs (1, 3, H, W)."""
    classes: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        classes.setdefault((sample.dataset, sample.class_id), []).append(sample)
    rng = np.random.default_rng(seed)
    chosen = [of[i] for of in classes.values() for i in rng.permutation(len(of))[:OF_EACH]]
    return [torch.from_numpy(prepare(sample_pixels(sample), pre)[0][None]) for sample in chosen]


def check_prunable(net: nn.Module) -> None:
    """Refuse a network without such blocks.

    Raises:
        FlawsightError: it is no EfficientNet.
    """
    if not _efficientnets(net):
        raise FlawsightError("--prune is for EfficientNets alone. Leave it out, or choose such a --backbone.")


def prune(net: CamNet, pictures: Sequence[Tensor], share: float, seed: int = 0) -> None:
    """Silence about ``share`` of the channels of the widest blocks of ``net``, in place.

    How many are left is a multiple of ``CHANNELS``. Blocks are gone through from the first, each as it reads
    what the narrower ones before it give; then all learn together.

    Args:
        pictures: inputs (1, 3, H, W) to the network, of training parts.

    Raises:
        FlawsightError: it is no EfficientNet.
    """
    check_prunable(net)
    whole = copy.deepcopy(net.eval())
    blocks = _widest_blocks(net)
    with torch.no_grad():
        for block in blocks:
            _prune_block(net, block, pictures, share)
    _learn_from(whole, net, blocks, pictures, seed)


def without_silent(net: CamNet) -> CamNet:
    """A copy of ``net`` without the channels that ``prune`` silenced; only for use, not for training."""
    net = copy.deepcopy(net).eval()
    for features in _efficientnets(net):
        for block in features.net._blocks:
            heard = _heard(block)
            if not heard.all():
                _narrow(block, heard)
    return net


def _efficientnets(net: nn.Module) -> list[EfficientNetFeatures]:
    return [module for module in net.modules() if isinstance(module, EfficientNetFeatures)]


def _widest_blocks(net: nn.Module) -> list[Any]:
    blocks = [block for features in _efficientnets(net) for block in features.net._blocks]
    widest = max(block._bn1.num_features for block in blocks)
    return [block for block in blocks if block._bn1.num_features == widest]


def _learn_from(
    whole: CamNet, net: CamNet, blocks: Sequence[Any], pictures: Sequence[Tensor], seed: int
) -> None:
    """Let ``blocks`` of ``net`` learn to give the features of ``whole``, and so its class map.

    What is silent stays so: it gives nothing, and what gives nothing has no gradient.
    """
    head, chance = head_of(net), torch.Generator().manual_seed(seed)
    reading = torch.from_numpy(head.hidden[0] if head.hidden else head.weight)  # of the head's first layer
    silencing = {id(values) for block in blocks for values in block._bn1.parameters()}
    learning = [v for block in blocks for v in block.parameters() if id(v) not in silencing]
    asked = {name: values.requires_grad for name, values in net.named_parameters()}
    net.requires_grad_(False)
    for values in learning:
        values.requires_grad_(True)
    optimiser = torch.optim.Adam(learning, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        crops = _crops(pictures, chance)
        with torch.no_grad():
            scale = (wanted := whole(crops)[1]).square().mean()
        off = net(crops)[1] - wanted
        scores = reading @ off.flatten(2)
        loss = off.square().mean() / scale + SCORES * scores.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    for name, values in net.named_parameters():
        values.requires_grad_(asked[name])


def _crops(pictures: Sequence[Tensor], chance: torch.Generator) -> Tensor:
    """``BATCH`` crops (BATCH, 3, side, side) of as many pictures, some of them mirrored."""

    def below(end: int) -> int:
        return int(torch.randint(end, (1,), generator=chance))

    chosen = [pictures[below(len(pictures))] for _ in range(BATCH)]
    side = min(SIDE, *(length for picture in chosen for length in picture.shape[2:]))
    crops = []
    for picture in chosen:
        y, x = (below(length - side + 1) for length in picture.shape[2:])
        mirrored = [axis for axis in (2, 3) if below(2)]
        crops.append(picture[:, :, y : y + side, x : x + side].flip(mirrored))
    return torch.cat(crops)


def _prune_block(net: nn.Module, block: Any, pictures: Sequence[Tensor], share: float) -> None:
    moments, pooled = _activations(net, block, pictures)
    weight = block._project_conv.weight[:, :, 0, 0]  # (out, C)
    heard = _heard(block)
    count = CHANNELS * max(1, round(len(heard) * (1 - share) / CHANNELS))
    # The constant is the last channel. It is never pruned, and becomes part of the batch norm behind.
    weights = torch.cat([weight.T, torch.zeros(1, len(weight))]).double()  # (C + 1, out)
    kept = _surgery(moments, weights, heard, count)

    block._project_conv.weight[:, :, 0, 0] = weights[:-1].T.float()
    block._bn2.running_mean -= weights[-1].float()
    block._se_reduce.bias += block._se_reduce.weight[:, ~kept, 0, 0] @ pooled[~kept]
    block._se_reduce.weight[:, ~kept] = 0
    for norm in (block._bn1.weight, block._bn1.bias):
        norm[~kept] = 0


def _surgery(moments: Tensor, weights: Tensor, heard: Tensor, count: int) -> Tensor:
    """Zero the rows of all but ``count`` channels in ``weights`` (C + 1, out), and let the others make up.

    One after another the channel goes whose loss, made up for, changes the output least.

    Args:
        moments: (C + 1, C + 1) sums of products of what the channels and the constant say.

    Returns:
        (C,) which channels are kept.
    """
    ridge = RIDGE * moments.diagonal().mean() * torch.eye(len(moments), dtype=moments.dtype)
    inverse, kept = torch.linalg.inv(moments + ridge), heard.clone()
    weights[:-1][~kept] = 0
    while int(kept.sum()) > count:
        change = weights.square().sum(1) / inverse.diagonal()
        channel = int(torch.where(kept, change[:-1], torch.inf).argmin())
        step = inverse[:, channel] / inverse[channel, channel]
        weights -= torch.outer(step, weights[channel])
        inverse -= torch.outer(step, inverse[channel].clone())
        kept[channel] = False
        weights[channel] = 0  # but for rounding it is by now
    return kept


def _activations(net: nn.Module, block: Any, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Of what the block projects: ``moments`` as for ``_surgery``, and (C,) what it pools on average."""
    channels = block._project_conv.weight.shape[1]
    moments, pooled = torch.zeros(channels + 1, channels + 1, dtype=torch.double), list[Tensor]()

    def projected(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        cells = given[0][0].flatten(1)  # (C, cells)
        cells = torch.cat([cells, torch.ones(1, cells.shape[1])])
        moments.add_((cells @ cells.T).double() / cells.shape[1])

    def squeezed(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        pooled.append(given[0][0, :, 0, 0])

    hooks = [
        block._project_conv.register_forward_pre_hook(projected),
        block._se_reduce.register_forward_pre_hook(squeezed),
    ]
    for picture in pictures:
        net(picture)
    for hook in hooks:
        hook.remove()
    return moments, torch.stack(pooled).mean(0)


def _heard(block: Any) -> Tensor:
    """(C,) which of a block's wide channels say anything."""
    projected = block._project_conv.weight[:, :, 0, 0].ne(0).any(0)
    squeezed = block._se_reduce.weight[:, :, 0, 0].ne(0).any(0)
    heard: Tensor = (projected | squeezed) & (block._bn1.weight.ne(0) | block._bn1.bias.ne(0))
    return heard


def _narrow(block: Any, heard: Tensor) -> None:
    for name in ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_expand"):
        if hasattr(block, name):  # a block that widens nothing has not all
            setattr(block, name, some_of(getattr(block, name), heard))
    for name in ("_se_reduce", "_project_conv"):
        layer = getattr(block, name)
        layer.weight = nn.Parameter(layer.weight[:, heard])
        layer.in_channels = int(heard.sum())
