"""Networks that return ``(logits, features)``: a backbone, global average pooling, one ``Linear``."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn

from flawsight.errors import ModelError, WeightsUnavailable


class CamNet(nn.Module):
    """Backbone, global average pooling, dropout, one linear layer.

    For this head the class map ``W·A + b`` at the last feature map ``A`` averages to the logits, so a
    prediction explains itself without a backward pass.

    Args:
        backbone: maps (N, 3, H, W) to (N, C, H / stride, W / stride).
        channels: C.
        num_classes: K.
        stride: input pixels per cell of the feature map.
        dropout: probability before the linear layer, training only.
    """

    def __init__(
        self, backbone: nn.Module, channels: int, num_classes: int, stride: int, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        self.stride = stride

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to logits (N, K) and features (N, C, h, w)."""
        features = self.backbone(image)  # (N, C, h, w)
        logits = self.head(self.dropout(features.mean((2, 3))))  # (N, K)
        return logits, features

    def class_map(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to class scores per cell (N, K, h, w); dropout in training."""
        cells = self.dropout(features.permute(0, 2, 3, 1))
        scores: Tensor = self.head(cells).permute(0, 3, 1, 2)
        return scores


class _EfficientNetFeatures(nn.Module):
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


def _drop_last_stride(net: EfficientNet) -> None:
    """Let the last strided block keep its resolution: twice as fine a feature map, same weights."""
    for block in reversed(net._blocks):
        conv = block._depthwise_conv
        if tuple(conv.stride) == (2, 2):
            conv.stride = (1, 1)
            side = (conv.kernel_size[0] - 1) // 2
            conv.static_padding = nn.ZeroPad2d((side, side, side, side))
            return


def _efficientnet(name: str) -> Callable[[int], tuple[nn.Module, int]]:
    def make(stride: int) -> tuple[nn.Module, int]:
        features = _EfficientNetFeatures(name, stride)
        return features, features.net._conv_head.out_channels

    return make


_OURS = "backbone.net."  # begins the name of each backbone weight in a model of ours

# name: stride -> (module that maps images to features, number of feature channels)
BACKBONES: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    "efficientnet-b0": _efficientnet("efficientnet-b0"),
    "efficientnet-b4": _efficientnet("efficientnet-b4"),
}


def check_name(name: str) -> None:
    """Accept a name in ``BACKBONES``.

    Raises:
        ModelError: it is not there; the message suggests the nearest.
    """
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"Unknown backbone {name!r}.{hint} There are: {', '.join(BACKBONES)}.")


def build(name: str, num_classes: int, stride: int = 16) -> CamNet:
    """A network with fresh weights.

    Raises:
        ModelError: the name is not in ``BACKBONES``, or the stride is neither 16 nor 32.
    """
    check_name(name)
    if stride not in (16, 32):
        raise ModelError(f"Stride {stride} is not possible; choose 16 (finer) or 32 (faster).")
    backbone, channels = BACKBONES[name](stride)
    return CamNet(backbone, channels, num_classes, stride)


def load_imagenet(net: CamNet, name: str) -> None:
    """Fetch ImageNet weights for the backbone; the head stays fresh.

    Raises:
        WeightsUnavailable: they cannot be downloaded here.
    """
    try:
        source = EfficientNet.from_pretrained(name)
    # urllib's and ssl's errors are OSErrors; a file cut short fails its check with a RuntimeError.
    except (OSError, RuntimeError, HTTPException) as error:
        raise WeightsUnavailable(
            f"ImageNet weights for {name} could not be downloaded ({error}). Use --weights FILE with weights "
            "you have, or --pretrained none to train from scratch."
        ) from None
    _load_backbone(net, source.state_dict(), name)


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
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise ModelError(f"{path} cannot be read as torch weights ({error}).") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, no weights. Name another file.")
    state = {name.removeprefix("net."): value for name, value in content.get("state_dict", content).items()}
    _load_backbone(net, {key.removeprefix(_OURS): value for key, value in state.items()}, str(path))
    own = net.head.state_dict()
    head = {k: state[f"head.{k}"] for k in own if f"head.{k}" in state}
    if {k: v.shape for k, v in head.items()} == {k: v.shape for k, v in own.items()}:
        net.head.load_state_dict(head)


def _load_backbone(net: CamNet, state: dict[str, Tensor], source: str) -> None:
    own = net.backbone.net.state_dict()  # type: ignore[union-attr]
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    # Backbones of one family share names and a few shapes, so anything less than all is another one.
    if fitting.keys() != own.keys():
        raise ModelError(f"{source} holds weights of another backbone. Name the one it was trained with.")
    net.backbone.net.load_state_dict(fitting)  # type: ignore[union-attr]
