"""The wide first blocks of an EfficientNet, computed some channels at a time.

A block widens its input sixfold before a depthwise convolution, which reads each channel by itself. At full
width the first of these maps are by far the largest of the whole pass (96 channels at half the picture's side
are 25 MB for 512 x 512 pixels, and two of them are alive at once). Widened, convolved and let go of in
slices, they need a few megabytes, stay nearer to the processor, and give the same numbers to the last bit.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from flawsight.learning.backbones import CamNet
from flawsight.learning.networks import EfficientNetFeatures

CHANNELS = 16  # of a slice: what ONNX Runtime packs side by side on processors with the widest registers
COARSEST = 2  # pixels of the picture to one of its input, up to which a block is worth slicing


def in_slices(net: CamNet) -> CamNet:
    """A copy of ``net`` whose wide first blocks work in slices; only for use, not for training."""
    net = copy.deepcopy(net).eval()
    for module in net.modules():
        if isinstance(module, EfficientNetFeatures):
            _slice_blocks(module.net)
    return net


def _slice_blocks(efficientnet: Any) -> None:
    coarseness = 2  # behind the stem
    for block in efficientnet._blocks:
        if coarseness > COARSEST:
            return
        coarseness *= block._depthwise_conv.stride[0]
        if block._block_args.expand_ratio == 1 or block._bn1.num_features % CHANNELS:
            continue
        block._depthwise_conv = _Slices(block)
        block._bn1 = nn.Identity()
        # What widened the input has become part of the slices, so the block is told that it does not.
        block._block_args = block._block_args._replace(expand_ratio=1)
        del block._expand_conv, block._bn0


class _Slices(nn.Module):
    """From a block's input to its depthwise convolution and the batch norm behind it."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        channels = range(0, block._bn1.num_features, CHANNELS)
        self.slices = nn.ModuleList(_slice(block, slice(first, first + CHANNELS)) for first in channels)

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([part(image) for part in self.slices], 1)


def _slice(block: Any, channels: slice) -> nn.Module:
    return nn.Sequential(
        some_of(block._expand_conv, channels),
        some_of(block._bn0, channels),
        block._swish,
        some_of(block._depthwise_conv, channels),
        some_of(block._bn1, channels),
    )


def some_of(layer: nn.Module, channels: slice | Tensor) -> nn.Module:
    """A copy of ``layer``, a convolution or batch norm, with some of its output channels alone."""
    layer = copy.deepcopy(layer)
    for values in (*layer.parameters(), *layer.buffers()):
        if values.ndim:  # all but the count of batches
            values.data = values.data[channels]
    if isinstance(layer, nn.Conv2d):
        layer.out_channels = len(layer.weight)
        layer.groups = len(layer.weight) if layer.groups > 1 else 1
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = len(layer.weight)
    return layer
