"""Second explanations: the methods of the grad-cam package, at the last feature map.

Grad-CAM (Selvaraju et al., ICCV 2017), Grad-CAM++ (Chattopadhay et al., WACV 2018), LayerCAM (Jiang et
al., TIP 2021), Eigen-CAM (Muhammad and Yeasin, IJCNN 2020) and Score-CAM (Wang et al., CVPRW 2020). The
product itself explains by its class map (``inspection.explain``); these are for whoever wants to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from flawsight.inspection import explain
from flawsight.inspection.engines import Float
from flawsight.inspection.result import Heatmap
from flawsight.inspection.torch_engine import TorchEngine
from flawsight.learning.backbones import CamNet
from flawsight.preprocessing import prepare

# Score-CAM runs the network once for each channel. All 1280 of an EfficientNet-B0 would take minutes and
# gigabytes, and most of them hardly respond; the method is used on those that respond most.
SCORE_CHANNELS = 32
SCORE_BATCH = 4  # masked images at a time

_ON_FEATURES: dict[str, Callable[..., Any]] = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "layer-cam": LayerCAM,
    "eigen-cam": EigenCAM,
}


def second_explanations(
    engine: TorchEngine,
    image: NDArray[np.uint8],
    class_id: str,
    methods: Iterable[str] = tuple(explain.GRAD_CAM_METHODS),
) -> Iterator[tuple[Heatmap, float]]:
    """Heat maps of ``class_id`` by each of ``methods`` and the milliseconds it took.

    Each time includes the forward pass, which the methods share. Eigen-CAM asks for no class: it shows
    what the features respond to most.

    Args:
        image: RGB uint8 (H, W, 3).
        methods: keys of ``explain.GRAD_CAM_METHODS``.
    """
    metadata = engine.metadata
    targets = [ClassifierOutputTarget(metadata.classes.index(class_id))]
    start = perf_counter()
    tensor, placement = prepare(image, metadata.preprocessing)
    batch = torch.from_numpy(tensor[None])
    with torch.no_grad():
        features = engine.network(batch)[1]  # (1, C, h, w)
    forward_ms = 1000 * (perf_counter() - start)
    for method in methods:
        start = perf_counter()
        if method == "score-cam":
            cells = _score_cam(engine.network, batch, targets)
        else:
            cells = _on_features(_ON_FEATURES[method], engine.network, features, targets)
        took_ms = forward_ms + 1000 * (perf_counter() - start)
        yield explain.heatmap(cells, class_id, method, placement, metadata.stride), took_ms


class _Head(nn.Module):
    """Pooling and what follows it alone: what lies before the feature map need not run again."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Identity()  # the layer that is explained
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(features).mean((2, 3)))
        return logits


class _Logits(nn.Module):
    """The network without its feature map."""

    def __init__(self, network: CamNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)[0]
        return logits


class _ScoreCam(ScoreCAM):  # type: ignore[misc]  # the package ships no types
    """Score-CAM over the channels that respond most, in cells instead of pixels."""

    def get_target_width_height(self, input_tensor: Tensor) -> tuple[int, int]:
        height, width = self.activations_and_grads.activations[0].shape[2:]
        return width, height

    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads):  # type: ignore[no-untyped-def]  # as there
        strongest = np.argsort(-activations.mean(axis=(2, 3))[0])[:SCORE_CHANNELS]
        self.activations_and_grads.release()  # else it keeps the feature map of every masked image, too
        weights = np.zeros(activations.shape[:2], np.float32)
        weights[:, strongest] = super().get_cam_weights(
            input_tensor, target_layer, targets, activations[:, strongest], grads
        )
        return weights


def _on_features(method: Callable[..., Any], network: CamNet, features: Tensor, targets: list[Any]) -> Float:
    head = _Head(network.head)
    with method(head, [head.features]) as library:
        return np.asarray(library(features.clone().requires_grad_(), targets)[0], np.float32)


def _score_cam(network: CamNet, batch: Tensor, targets: list[Any]) -> Float:
    with torch.no_grad(), _ScoreCam(_Logits(network), [network.backbone]) as library:
        library.batch_size = SCORE_BATCH
        return np.asarray(library(batch, targets)[0], np.float32)
