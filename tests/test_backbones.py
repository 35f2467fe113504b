"""Every backbone gives one map of features, and its head explains what it answers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flawsight.errors import ModelError, WeightsUnavailable
from flawsight.inspection import explain
from flawsight.inspection.engines import Head, load_engine
from flawsight.learning import narrow
from flawsight.learning.backbones import (
    BACKBONES,
    CamNet,
    build,
    head_of,
    join,
    load_imagenet,
    nearest_stride,
)
from flawsight.learning.export import save_onnx, save_torch
from flawsight.learning.narrow import prune, without_silent
from flawsight.learning.slices import in_slices
from flawsight.metadata import ModelMetadata

META = ModelMetadata("test", "1", "compact", ("good", "bent", "cracked"), ("bent", "cracked"), 16)


@pytest.fixture(scope="module")
def compact() -> CamNet:
    """The custom CNN, whose head has two layers, after a look at a few images."""
    torch.manual_seed(0)
    net = build("compact", 3).train()
    with torch.no_grad():
        for _ in range(20):
            net(torch.randn(4, 3, 64, 64))
    return net.eval()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For work in very many small steps, at each of which threads would wait for those of other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "stride"), [(name, stride) for name, row in BACKBONES.items() for stride in row.strides]
)
def test_each_backbone_gives_a_cell_for_each_stride_of_pixels(name: str, stride: int) -> None:
    with torch.device("meta"):  # shapes alone: nothing is computed
        net = build(name, 3, stride, "linear").eval()
        logits, features = net(torch.zeros(2, 3, 160, 96))
    assert logits.shape == (2, 3)
    assert features.shape == (2, BACKBONES[name].channels, 160 // stride, 96 // stride)


def test_a_stride_that_a_backbone_cannot_have_is_refused_with_the_one_it_has() -> None:
    with pytest.raises(ModelError, match="--stride 32"):
        build("xception", 3, 16)
    assert nearest_stride("xception", 16) == 32 and nearest_stride("resnet50", 16) == 16


def test_a_backbone_without_published_weights_says_so(compact: CamNet) -> None:
    with pytest.raises(WeightsUnavailable, match="No ImageNet weights are published for compact"):
        load_imagenet(compact, "compact")


@pytest.mark.parametrize("seed", range(3))
def test_the_class_map_of_two_layers_averages_to_the_logits(compact: CamNet, seed: int) -> None:
    with torch.no_grad():
        logits, features = compact(noise(2, 3, 96, 128, seed=seed))
        torch.testing.assert_close(compact.class_map(features).mean((2, 3)), logits, rtol=1e-4, atol=1e-5)
    ours = head_of(compact).class_map(features[0].numpy()).mean(axis=(1, 2))
    np.testing.assert_allclose(ours, logits[0].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_our_cam_of_two_layers_is_hook_based_grad_cam(compact: CamNet, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library imports what its own dependencies deprecate
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Logits(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return compact(image)[0]  # type: ignore[no-any-return]

    wrapped = Logits()
    wrapped.net = compact
    image = noise(1, 3, 160, 128, seed=seed)
    with torch.no_grad():
        _, features = compact(image)
    # The class whose map is the strongest: an empty map would agree with anything.
    maps = [explain.cam(features[0].numpy(), head_of(compact), k) for k in range(3)]
    index = int(np.argmax([cells.max() for cells in maps]))
    with GradCAM(wrapped, [compact.backbone]) as library:
        theirs = library(image, [ClassifierOutputTarget(index)])[0]
    assert theirs.max() > 0 and maps[index].max() > 0
    ours = torch.nn.functional.interpolate(
        torch.from_numpy(maps[index])[None, None], (160, 128), mode="bilinear"
    )
    assert np.corrcoef(ours.numpy().ravel(), theirs.ravel())[0, 1] > 0.999


def test_a_head_of_two_layers_survives_export_in_both_files(compact: CamNet, tmp_path: Path) -> None:
    save_torch(compact, META, tmp_path / "model.pth")
    save_onnx(compact, META, tmp_path / "model.onnx")
    batch = noise(2, 3, 96, 160).numpy()
    results = [load_engine(tmp_path / f"model.{suffix}") for suffix in ("pth", "onnx")]
    one, other = (engine.run(batch) for engine in results)
    for found, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for engine in results:
        assert engine.head.channels == 256 and engine.head.hidden is not None
        explained = engine.head.class_map(one.features[0])
        np.testing.assert_allclose(explained.mean(axis=(1, 2)), one.logits[0], atol=1e-4)
        np.testing.assert_allclose(explained, one.class_map[0], atol=1e-4)


# One of each library, the quickest: EfficientNet's is that of the shipped model.
@pytest.mark.parametrize("name", ["mobilenet-v2", "vgg16"])
def test_a_backbone_of_a_library_learns_and_answers_the_same_from_its_files(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = build(name, 3, 32)
    learning = torch.optim.SGD(net.parameters(), 1e-2)
    before = next(net.parameters()).detach().clone()
    for step in range(2):
        loss = torch.nn.functional.cross_entropy(net(noise(4, 3, 64, 64, seed=step))[0], torch.arange(4) % 3)
        learning.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        learning.step()
    assert torch.isfinite(loss) and not torch.equal(before, next(net.parameters()))
    batch, metadata = noise(2, 3, 64, 96), replace(META, backbone=name, stride=32)
    with torch.no_grad():
        expected, features = (output.numpy() for output in net.eval()(batch))
    for suffix, save in (("pth", save_torch), ("onnx", save_onnx)):
        path = tmp_path / f"model.{suffix}"
        save(net, metadata, path)
        said = load_engine(path).run(batch.numpy())
        np.testing.assert_allclose(said.logits, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(said.features, features, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnet-b4"])
def test_in_slices_a_network_answers_the_same_and_its_widest_map_is_half_as_large(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, 3, 16).eval()
    image, before = noise(2, 3, 96, 160), {key: value.clone() for key, value in net.state_dict().items()}
    sliced = in_slices(net)
    with torch.no_grad():
        expected, found = net(image), sliced(image)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert max(_map_sizes(sliced, image)) < max(_map_sizes(net, image)) / 2
    assert before.keys() == net.state_dict().keys(), "what is still to be trained stays as it was"
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


def test_silenced_channels_are_made_up_for_and_left_out_of_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setattr(narrow, "STEPS", 12)
    torch.manual_seed(0)
    net = build("efficientnet-b0", 3, 16)
    pictures = [noise(1, 3, 96, 96, seed=seed) for seed in range(6)]
    for layer in net.modules():  # true averages, or every feature would fade to nothing
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        net.train()(torch.cat(pictures))
    pruned = copy.deepcopy(net.eval())
    prune(pruned, pictures, 1 / 3)
    left_alone = copy.deepcopy(pruned)  # silenced as well, but nothing makes up for it
    silent = 0
    for block, whole in zip(left_alone.backbone.net._blocks, net.backbone.net._blocks, strict=True):
        gone = block._bn1.weight == 0
        silent += int(gone.sum())
        block._project_conv.weight.data = whole._project_conv.weight * ~gone[None, :, None, None]
        block._bn2.running_mean = whole._bn2.running_mean
    assert silent == 4 * 384  # a third of the 1,152 channels of the last four blocks
    assert all(values.requires_grad for values in pruned.parameters()), "it can be trained on"
    small = without_silent(pruned)
    with torch.no_grad():
        features, others, worse, export = (one(pictures[0])[1] for one in (net, pruned, left_alone, small))
    assert (others - features).norm() < 0.7 * (worse - features).norm()
    torch.testing.assert_close(export, others, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in small.parameters()) < 0.8 * sum(p.numel() for p in net.parameters())
    meta = replace(META, backbone="efficientnet-b0")
    save_torch(pruned, meta, tmp_path / "pruned.pth")  # in its full shape, and so it is read
    logits = load_engine(tmp_path / "pruned.pth").run(pictures[0].numpy()).logits
    save_onnx(pruned, meta, tmp_path / "pruned.onnx")
    np.testing.assert_allclose(
        load_engine(tmp_path / "pruned.onnx").run(pictures[0].numpy()).logits, logits, rtol=1e-3, atol=1e-4
    )


def _map_sizes(net: torch.nn.Module, image: torch.Tensor) -> list[int]:
    """Values that each convolution of ``net`` gives."""
    sizes: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _given, out: sizes.append(out.numel()))
        for layer in net.modules()
        if isinstance(layer, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        net(image)
    for hook in hooks:
        hook.remove()
    return sizes


def test_a_head_text_that_does_not_fit_its_shape_is_refused() -> None:
    text = Head(np.ones((2, 4), np.float32), np.zeros(2, np.float32), _layer(4, 3)).to_text()
    assert text.startswith("3,4:")
    with pytest.raises(ValueError, match="do not fit 5 classes"):
        Head.from_text(text, 5)


def _layer(units: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((units, channels), np.float32), np.zeros(units, np.float32)


def test_an_ensemble_answers_the_mean_of_its_members_and_is_saved_as_one(tmp_path: Path) -> None:
    torch.manual_seed(1)
    members = [build("compact", 3, 16, "linear").eval() for _ in range(3)]
    whole = join(members).eval()
    image = noise(1, 3, 64, 64)
    with torch.no_grad():
        mean = torch.stack([net(image)[0] for net in members]).mean(0)
        torch.testing.assert_close(whole(image)[0], mean, rtol=1e-4, atol=1e-5)
    named = ModelMetadata(**{**vars(META), "backbone": "3x compact"})
    save_torch(whole, named, tmp_path / "model.pth")
    np.testing.assert_allclose(load_engine(tmp_path / "model.pth").run(image.numpy())[0], mean, atol=1e-4)


def test_networks_with_two_layer_heads_do_not_join(compact: CamNet) -> None:
    with pytest.raises(ModelError, match="--head linear"):
        join([compact, compact])
