"""Training looks again where good parts looked defective."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flawsight.data.augment import NO_AUGMENTATION
from flawsight.data.crops import CropDataset, CropSampler, Draw
from flawsight.data.samples import GENERATED, Sample
from flawsight.imaging import encode_png
from flawsight.learning.backbones import CamNet, build
from flawsight.learning.mining import MOST, suspects
from flawsight.metadata import ModelMetadata, Preprocessing

CLASSES = ("MT_Free", "MT_Crack")
META = ModelMetadata(
    "test", "1", "compact", CLASSES, ("MT_Crack",), 16, preprocessing=Preprocessing(min_side=32)
)


@pytest.fixture(scope="module")
def alarmed() -> CamNet:
    """A network that calls every place with a feature of its own a crack, some more than others."""
    torch.manual_seed(1)
    net = build("compact", len(CLASSES), 16).train()
    with torch.no_grad():
        net(torch.randn(4, 3, 128, 128))
    return net


@pytest.fixture
def part(tmp_path: Path) -> Sample:
    grey = np.random.default_rng(0).integers(0, 256, (160, 224, 1), dtype=np.uint8)
    path = tmp_path / "part.png"
    path.write_bytes(encode_png(np.repeat(grey, 3, axis=2)))
    return Sample(path, "MT_Free", "Magnetic Tile", "1")


def test_only_good_photographs_have_suspicious_places(alarmed: CamNet, part: Sample) -> None:
    samples = [
        replace(part, class_id="MT_Crack"),
        part,
        replace(part, dataset=f"Magnetic Tile {GENERATED}"),
        replace(part, region=(0, 0, 96, 96)),
    ]
    found = suspects(alarmed, samples, META)
    assert set(found) == {1, 3}, "regions of one picture share its places"
    assert found[1] is found[3]
    assert alarmed.training, "it goes on learning"


def test_places_lie_on_the_picture_the_most_suspicious_first(alarmed: CamNet, part: Sample) -> None:
    places = suspects(alarmed, [part], META)[0]
    assert 1 <= len(places) <= MOST
    assert (places % 16 == 8).all() and (places >= 0).all()
    assert (places < [160, 224]).all()
    calm = build("compact", len(CLASSES), 16)
    with torch.no_grad():
        calm.head[-1].bias[:] = torch.tensor([30.0, 0.0])  # type: ignore[operator, index]
    assert suspects(calm, [part], META) == {}


def test_half_of_the_crops_of_a_suspicious_part_show_one_of_its_places(part: Sample) -> None:
    places: NDArray[np.int64] = np.array([[8, 8], [152, 216]])
    sampler = CropSampler([part], 8, 64, batches=100, seed=0, mine=lambda: {0: places})
    draws = [draw for batch in sampler for draw in batch]
    centres = [draw.centre for draw in draws]
    assert centres.count(None) / len(draws) == pytest.approx(0.5, abs=0.05)
    assert set(centres) == {None, (8, 8), (152, 216)}
    again = CropSampler([part], 8, 64, batches=100, seed=0, mine=lambda: {0: places})
    assert [draw for batch in again for draw in batch] == draws


def test_an_epoch_is_mined_once_however_often_its_batches_are_asked_for(part: Sample) -> None:
    mined: list[int] = []

    def mine() -> dict[int, NDArray[np.int64]]:
        mined.append(sampler.epoch)
        return {}

    sampler = CropSampler([part], 2, 64, batches=3, seed=0, mine=mine)
    for epoch in (0, 0, 1):
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == 3
    assert mined == [0, 1]


@pytest.mark.parametrize("seed", range(12))
def test_a_crop_around_a_place_shows_it(part: Sample, tmp_path: Path, seed: int) -> None:
    pixels = np.full((160, 224, 3), 100, np.uint8)
    pixels[144:, 208:] = 250
    part.path.write_bytes(encode_png(pixels))
    flawed = replace(part, class_id="MT_Crack")
    dataset = CropDataset([part, flawed], CLASSES, Preprocessing(min_side=32), 16, NO_AUGMENTATION)
    crop = dataset[Draw(0, 64, seed, (152, 216))]["image"]
    assert (crop > 1).any()
