"""Boxes in the way of Pascal VOC, COCO and YOLO: the same small set, written in each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from flawsight.data.adapters import find_samples
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import DataError

WIDTH, HEIGHT = 80, 40
SCRATCH, DENT = LabelledBox(8, 4, 24, 20, "scratch"), LabelledBox(40, 10, 80, 40, "dent")
SET = {"one": (SCRATCH,), "two": (SCRATCH, DENT), "three": ()}
NAMES = ["dent", "scratch"]


def picture(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), "grey").save(folder / f"{name}.png")


def voc(root: Path) -> None:
    for name, boxes in SET.items():
        picture(root / "JPEGImages", name)
        objects = "".join(
            f"<object><name>{b.class_id}</name><bndbox><xmin>{b.x1 + 1}</xmin><ymin>{b.y1 + 1}</ymin>"
            f"<xmax>{b.x2 + 1}</xmax><ymax>{b.y2 + 1}</ymax></bndbox></object>"
            for b in boxes
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        file = root / "Annotations" / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>")


def coco(root: Path) -> None:
    images, annotations = [], []
    for number, (name, boxes) in enumerate(SET.items()):
        picture(root / "images", name)
        images.append({"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT})
        for b in boxes:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": NAMES.index(b.class_id),
                    "bbox": [b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1],
                    "area": (b.x2 - b.x1) * (b.y2 - b.y1),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances.json").write_text(json.dumps(content))


def yolo(root: Path) -> None:
    for name, boxes in SET.items():
        picture(root / "images", name)
        rows = [
            f"{NAMES.index(b.class_id)} {(b.x1 + b.x2) / 2 / WIDTH} {(b.y1 + b.y2) / 2 / HEIGHT} "
            f"{(b.x2 - b.x1) / WIDTH} {(b.y2 - b.y1) / HEIGHT}"
            for b in boxes
        ]
        file = root / "labels" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(rows))
    (root / "data.yaml").write_text(f"nc: 2\nnames: {NAMES}\n")


def by_name(samples: list[Sample]) -> dict[str, Sample]:
    return {sample.path.stem: sample for sample in samples}


@pytest.mark.parametrize("write", [voc, coco, yolo])
def test_each_way_of_writing_boxes_gives_the_same_samples(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    found = by_name(find_samples((tmp_path,)))
    assert found.keys() == SET.keys()
    for name, boxes in SET.items():
        assert {b.class_id for b in found[name].boxes} == {b.class_id for b in boxes}
        for got, meant in zip(found[name].boxes, boxes, strict=True):
            corners = (got.x1, got.y1, got.x2, got.y2), (meant.x1, meant.y1, meant.x2, meant.y2)
            assert all(abs(a - b) <= 1 for a, b in zip(*corners, strict=True))
    assert {name: sample.class_id for name, sample in found.items()} == {
        "one": "scratch",
        "two": "dent",  # which covers more
        "three": "good",
    }


def test_a_box_that_leaves_the_picture_by_a_hair_begins_at_its_rim(tmp_path: Path) -> None:
    for folder, name in ((tmp_path / "voc" / "images", "a"), (tmp_path / "yolo" / "images", "b")):
        picture(folder, name)
    (tmp_path / "voc" / "Annotations").mkdir()
    (tmp_path / "voc" / "Annotations" / "a.xml").write_text(
        f"<annotation><filename>a.png</filename><size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        "<object><name>dent</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>8</xmax><ymax>4</ymax></bndbox>"
        "</object></annotation>"
    )
    (tmp_path / "yolo" / "labels").mkdir()
    (tmp_path / "yolo" / "labels" / "b.txt").write_text("0 0.049999 0.049999 0.1 0.1\n")
    (tmp_path / "yolo" / "data.yaml").write_text(f"nc: 2\nnames: {NAMES}\n")
    for way in ("voc", "yolo"):
        (sample,) = find_samples((tmp_path / way,))
        assert [(b.x1, b.y1, b.x2, b.y2, b.class_id) for b in sample.boxes] == [(0, 0, 8, 4, "dent")], way


def test_folders_of_splits_are_the_publishers_division(tmp_path: Path) -> None:
    for folder in ("train", "valid", "test"):
        voc(tmp_path / folder)
    found = find_samples((tmp_path,))
    assert {(s.path.parent.parent.name, s.publisher_split) for s in found} == {
        ("train", "train"),
        ("valid", "val"),
        ("test", "test"),
    }


def test_a_damaged_annotation_is_named(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / "Annotations" / "one.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match="cannot be read"):
        find_samples((tmp_path,))
