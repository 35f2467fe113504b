"""Feature extractors: each maps images (N, 3, H, W) to one feature map (N, C, H / stride, W / stride).

H and W are multiples of 32. Each keeps what it is made of in ``net``, so that weights travel by name.
timm and torchvision are imported when one of theirs is built: serving a model needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn


class CompactFeatures(nn.Module):
    """Four blocks of 3x3 convolution, batch norm, leaky ReLU and 2x2 pooling; stride 16."""

    widths = (32, 64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 3
        for width in self.widths:
            blocks += [
                nn.Conv2d(before, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(),
                nn.MaxPool2d(2),
            ]
            before = width
        self.net = nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.net(image)
        return features


class EfficientNetFeatures(nn.Module):
    """efficientnet-pytorch up to its last feature map, at stride 32 or 16.

    Inputs must be multiples of 32: for those the library's "same" padding is the same at every size,
    so one ONNX graph serves all.
    """

    def __init__(self, name: str, stride: int) -> None:
        super().__init__()
        # Stochastic depth pays off over hundreds of epochs, not in a run from scratch on two cores; and
        # statistics that follow sooner fit a run of a few thousand steps.
        net = EfficientNet.from_name(
            name, image_size=224, num_classes=1, drop_connect_rate=0.0, batch_norm_momentum=0.9
        )
        net.set_swish(memory_efficient=False)  # plain operations: exportable, and autocast handles them
        net._fc = nn.Identity()
        self.net = net
        if stride == 16:
            _drop_last_stride(net)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.net.extract_features(image)
        return features


class VggFeatures(nn.Module):
    """torchvision's VGG16 without its classifier; at stride 16 without its last pooling."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        from torchvision.models import vgg16

        layers = vgg16(weights=None).features
        self.net = layers if stride == 32 else layers[:-1]

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.net(image)
        return features


class TimmFeatures(nn.Module):
    """A network of timm up to its last feature map.

    Args:
        name: timm's name.
        stride: 32, or 16 for those that can dilate instead of stride.
        margin: pixels that an unpadded stem and unpadded reductions lose. The input is mirrored by so
            many, so that cell i of the map still lies over pixels i * stride to (i + 1) * stride.
    """

    def __init__(self, name: str, stride: int, margin: int = 0) -> None:
        super().__init__()
        import timm

        options: dict[str, Any] = {"output_stride": 16} if stride == 16 else {}
        self.net: Any = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **options)
        self.margin = (margin // 2, margin - margin // 2) * 2

    def forward(self, image: Tensor) -> Tensor:
        if any(self.margin):
            image = nn.functional.pad(image, self.margin, mode="reflect")
        features: Tensor = self.net.forward_features(image)
        return features


class NasNetMobileFeatures(nn.Module):
    """NASNet-A (4 @ 1056), which no library has, from the cells of timm's NASNet-A (6 @ 4032).

    Zoph et al., "Learning transferable architectures for scalable image recognition", CVPR 2018: a stem
    of 32, then three stacks of four cells of 44, 88 and 176 channels, with reductions between.
    """

    _unused = (4, 5, 10, 11, 16, 17)  # the fifth and sixth cell of each stack

    def __init__(self) -> None:
        super().__init__()
        from timm.models.nasnet import NASNetALarge

        self.net: Any = NASNetALarge(num_classes=0, stem_size=32, num_features=1056)
        for number in self._unused:
            delattr(self.net, f"cell_{number}")

    def forward(self, image: Tensor) -> Tensor:
        net = self.net
        stem = net.conv0(image)
        before = net.cell_stem_0(stem)
        x = net.cell_stem_1(stem, before)
        for first, reduction in ((0, net.reduction_cell_0), (6, net.reduction_cell_1), (12, None)):
            for number in range(first, first + 4):
                x, before = getattr(net, f"cell_{number}")(x, before), x
            if reduction is not None:
                # The next stack starts from the reduction and from the cell before the last.
                x = reduction(x, before)
        features: Tensor = net.act(x)
        return features


class Together(nn.Module):
    """Several extractors side by side; their channels are joined."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.net = nn.ModuleList(members)

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([member(image) for member in self.net], 1)


def _drop_last_stride(net: EfficientNet) -> None:
    """Let the last strided block keep its resolution: twice as fine a feature map, same weights."""
    for block in reversed(net._blocks):
        conv = block._depthwise_conv
        if tuple(conv.stride) == (2, 2):
            conv.stride = (1, 1)
            side = (conv.kernel_size[0] - 1) // 2
            conv.static_padding = nn.ZeroPad2d((side, side, side, side))
            return
