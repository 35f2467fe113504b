"""The audit finds what is wrong with a data folder and says truly what a run does about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from flawsight.cli import main
from flawsight.data.adapters import find_samples
from flawsight.data.audit import Audit, Finding, audit
from flawsight.data.samples import LabelledBox, Sample


def part(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A picture like no other seed's."""
    small = np.random.default_rng(seed).integers(30, 220, (9, 9)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two plain class folders of twelve sound pictures each."""
    for number in range(12):
        save(part(number), tmp_path / "parts" / "ok" / f"{number:02}.png")
        save(part(100 + number), tmp_path / "parts" / "scratch" / f"{number:02}.png")
    return tmp_path / "parts"


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A magnetic tile tree: eight bursts of two photographs in each of two classes."""
    for start, name in ((0, "MT_Crack"), (100_000, "MT_Free")):
        for burst in range(8):
            for exposure in (1, 2):
                number = start + burst * 1000 + exposure
                stem = (
                    tmp_path
                    / "tiles"
                    / "Magnetic-Tile-Defect"
                    / name
                    / "Imgs"
                    / f"exp{exposure}_num_{number}"
                )
                save(part(number), stem.with_suffix(".jpg"))
                mask = np.zeros((80, 96), np.uint8)
                mask[20:40, 30:50] = 255 * (name == "MT_Crack")
                save(Image.fromarray(mask), stem.with_suffix(".png"))
    return tmp_path / "tiles"


def audited(root: Path, **options: bool) -> Audit:
    return audit(find_samples([root]), roots=[root], **options)


def finding(result: Audit, kind: str) -> Finding:
    [found] = [item for item in result.findings if item.kind == kind]
    return found


def kinds(result: Audit) -> set[str]:
    return {item.kind for item in result.findings}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def test_a_sound_folder_is_trainable_and_counted(folders: Path) -> None:
    result = audited(folders)
    assert result.trainable
    assert kinds(result) == {"mask_missing"}  # class folders have none, and that is said
    assert [(row.class_id, row.is_defect, row.images, row.groups) for row in result.classes] == [
        ("ok", False, 12, 12),
        ("scratch", True, 12, 12),
    ]
    assert all(sum(row.splits.values()) == row.samples == 12 for row in result.classes)
    [row] = result.datasets
    assert (row.width, row.height, row.group_size) == ((96, 96, 96), (80, 80, 80), (1, 1, 1))


def test_sizes_are_least_median_and_greatest(folders: Path) -> None:
    save(part(500, (40, 30)), folders / "ok" / "small.png")
    save(part(501, (300, 200)), folders / "ok" / "large.png")
    [row] = audited(folders).datasets
    assert row.width == (40, 96, 300)
    assert row.height == (30, 80, 200)


def test_a_truncated_image_is_really_decoded_and_stops_the_run(folders: Path) -> None:
    broken = folders / "ok" / "03.png"
    broken.write_bytes(broken.read_bytes()[:-800])  # the header is whole, the pixels are not
    result = audited(folders)
    found = finding(result, "unreadable")
    assert found.stops and not result.trainable
    assert len(found.where) == 1 and str(broken) in found.where[0]


def test_skipping_unreadable_files_leaves_them_out(folders: Path) -> None:
    broken = folders / "ok" / "03.png"
    broken.write_bytes(b"")
    result = audited(folders, skip_unreadable=True)
    assert result.trainable and "Left out" in finding(result, "unreadable").action
    assert result.manifest is not None
    assert broken not in {sample.path for sample in result.manifest.samples}
    assert result.images == 24 and len(result.manifest.samples) == 23


def test_an_unreadable_mask_stops_the_run_too(tiles: Path) -> None:
    mask = next(tiles.rglob("MT_Crack/Imgs/*.png"))
    mask.write_bytes(b"no mask")
    result = audited(tiles)
    assert not result.trainable and str(mask) in finding(result, "unreadable").where[0]
    assert audited(tiles, skip_unreadable=True).trainable


def test_a_picture_whose_mask_cannot_be_read_is_left_out_though_it_has_a_copy(
    tiles: Path, tmp_path: Path
) -> None:
    folder, out = tiles / "Magnetic-Tile-Defect" / "MT_Crack" / "Imgs", tmp_path / "manifest.json"
    copy = folder / "exp1_num_50000.jpg"
    copy.write_bytes((folder / "exp1_num_1.jpg").read_bytes())
    copy.with_suffix(".png").write_bytes(b"no mask")
    assert finding(audited(tiles), "unreadable").stops
    assert run("split", tiles, "--out", out, "--skip-unreadable").exit_code == 0
    assert out.read_text().count("MT_Crack/Imgs/") == 16 and copy.name not in out.read_text()


def test_copies_are_joined_into_one_group(folders: Path) -> None:
    original = folders / "scratch" / "00.png"
    (folders / "scratch" / "copy.png").write_bytes(original.read_bytes())
    save(part(101).transpose(Image.Transpose.ROTATE_90), folders / "scratch" / "turned.png")
    result = audited(folders)
    assert len(finding(result, "exact_duplicates").where) == 1
    assert len(finding(result, "near_duplicates").where) == 1
    assert result.manifest is not None
    groups = {
        sample.path.name: sample.group for sample in result.manifest.samples if "scratch" in str(sample.path)
    }
    assert groups["00.png"] == groups["copy.png"]
    assert groups["01.png"] == groups["turned.png"]
    assert len(set(groups.values())) == 12
    assert result.datasets[0].group_size == (1, 1, 2)


def test_a_copy_across_the_publishers_border_is_named_as_such(tmp_path: Path) -> None:
    for number in range(12):
        save(part(number), tmp_path / "set" / "train" / "ok" / f"{number}.png")
        save(part(50 + number), tmp_path / "set" / "train" / "bad" / f"{number}.png")
        save(
            part(number if number == 0 else 200 + number), tmp_path / "set" / "test" / "ok" / f"t{number}.png"
        )
        save(part(300 + number), tmp_path / "set" / "test" / "bad" / f"t{number}.png")
    result = audited(tmp_path / "set")
    assert "1 across the publisher's own train/test border" in finding(result, "exact_duplicates").what
    assert result.manifest is not None
    splits = {
        s.path.name: e.split for s, e in zip(result.manifest.samples, result.manifest.entries, strict=True)
    }
    assert splits["t0.png"] == splits["0.png"]


def test_one_picture_under_two_classes_is_a_conflict(folders: Path) -> None:
    copy = folders / "ok" / "wrong.png"
    copy.write_bytes((folders / "scratch" / "00.png").read_bytes())
    found = finding(audited(folders), "conflicts")
    assert "(ok)" in found.where[0] and "(scratch)" in found.where[0]


def test_copies_within_one_burst_join_nothing_new(tiles: Path) -> None:
    folder = tiles / "Magnetic-Tile-Defect" / "MT_Free" / "Imgs"
    (folder / "exp2_num_100002.jpg").write_bytes((folder / "exp1_num_100001.jpg").read_bytes())
    found = finding(audited(tiles), "exact_duplicates")
    assert "0 from different groups" in found.what and "already" in found.action


def test_masks_that_are_missing_blank_or_of_another_size_are_told_apart(tiles: Path) -> None:
    missing, blank, small = sorted((tiles / "Magnetic-Tile-Defect" / "MT_Crack" / "Imgs").glob("*.png"))[:3]
    missing.unlink()
    save(Image.new("L", (96, 80)), blank)
    save(Image.new("L", (48, 40), 255), small)
    result = audited(tiles)
    assert finding(result, "mask_missing").where == (str(missing.with_suffix(".jpg")),)
    assert finding(result, "mask_empty").where == (str(blank),)
    [line] = finding(result, "mask_size").where
    assert line == f"{small}: 48x40, its image 96x80"
    assert result.trainable


def test_labels_outside_the_image_are_found(tmp_path: Path) -> None:
    path = save(part(1), tmp_path / "board.png")
    other = save(part(2), tmp_path / "other.png")
    boxes = (LabelledBox(10, 10, 30, 30, "PCB_open"), LabelledBox(90, 60, 120, 90, "PCB_short"))
    samples = [
        Sample(path, "PCB_open", "DeepPCB", "a", (0, 0, 160, 160), None, boxes),
        Sample(other, "PCB_Free", "DeepPCB", "b", (0, 0, 96, 80)),
    ]
    result = audit(samples)
    assert finding(result, "box_outside").where == (f"{path}: (90, 60, 120, 90) PCB_short",)
    assert finding(result, "region_outside").stops
    assert len(finding(result, "region_outside").where) == 1


def test_a_single_class_cannot_be_trained(tmp_path: Path) -> None:
    for number in range(8):
        save(part(number), tmp_path / "one" / "ok" / f"{number}.png")
    assert finding(audited(tmp_path / "one"), "too_few_classes").stops


def test_too_few_groups_leave_a_split_empty_and_stop_the_run(tmp_path: Path) -> None:
    for name, seed in (("ok", 1), ("bad", 2)):
        save(part(seed), tmp_path / "few" / name / "only.png")
    result = audited(tmp_path / "few")
    assert finding(result, "empty_split").stops and not result.trainable


def test_classes_of_a_family_without_images_are_listed(tiles: Path) -> None:
    assert finding(audited(tiles), "absent_classes").where == (
        "MT_Blowhole",
        "MT_Break",
        "MT_Fray",
        "MT_Uneven",
    )


def test_nothing_readable_gives_no_manifest(tmp_path: Path) -> None:
    for name in ("ok", "bad"):
        (tmp_path / "junk" / name).mkdir(parents=True)
        (tmp_path / "junk" / name / "a.png").write_bytes(b"junk")
    result = audited(tmp_path / "junk")
    assert result.manifest is None and not result.trainable and result.classes == ()


def test_progress_is_told_after_each_file(folders: Path) -> None:
    told: list[tuple[int, int]] = []
    audit(find_samples([folders]), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 24) for done in range(1, 25)]


def test_audit_command_prints_tables_and_succeeds(folders: Path) -> None:
    result = run("audit", folders)
    assert result.exit_code == 0, result.output
    assert "24 images" in result.output and "scratch" in result.output
    assert "A training run can start." in result.output


def test_audit_command_exits_with_1_when_something_stops_a_run(folders: Path) -> None:
    (folders / "ok" / "00.png").write_bytes(b"broken")
    result = run("audit", folders)
    assert result.exit_code == 1
    assert "STOP" in result.output and "--skip-unreadable" in result.output
    assert run("audit", folders, "--skip-unreadable").exit_code == 0


def test_audit_command_gives_one_json_object(folders: Path) -> None:
    (folders / "ok" / "copy.png").write_bytes((folders / "ok" / "00.png").read_bytes())
    result = run("audit", folders, "--json")
    report = json.loads(result.stdout)
    assert report["schema"] == "flawsight.audit/1" and report["trainable"] is True
    assert report["images"] == 25
    [pair] = report["copies"]
    assert pair["exact"] is True and pair["first"].endswith("00.png")


def test_a_missing_folder_is_answered_with_a_message(tmp_path: Path) -> None:
    result = run("audit", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "does not exist" in result.output and "Traceback" not in result.output


def test_an_empty_class_folder_is_named(folders: Path) -> None:
    (folders / "empty").mkdir()
    result = run("audit", folders)
    assert result.exit_code == 1 and "empty" in result.output


def test_split_command_writes_the_manifest_of_the_audit(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "manifest.json"
    result = run("split", folders, "--out", out, "--seed", "5")
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    expected = audit(find_samples([folders]), seed=5, roots=[folders]).manifest
    assert expected is not None
    assert written["sha256"] == expected.sha256 and expected.sha256 in result.output
    assert {entry["split"] for entry in written["entries"]} == {"train", "val", "test"}
    assert len(written["entries"]) == 24


def test_split_command_refuses_unreadable_files_and_writes_nothing(folders: Path, tmp_path: Path) -> None:
    (folders / "ok" / "00.png").write_bytes(b"broken")
    out = tmp_path / "manifest.json"
    result = run("split", folders, "--out", out)
    assert result.exit_code == 1 and not out.exists()
    assert "00.png" in result.output


def test_generated_data_passes_its_own_audit(tmp_path: Path) -> None:
    result = run("generate", tmp_path / "drawn", "--per-class", "1", "--seed", "4")
    assert result.exit_code == 0, result.output
    report = json.loads(run("audit", tmp_path / "drawn", "--json").stdout)
    assert {row["class_id"] for row in report["classes"]} >= {
        "DAGM_Class10",
        "DAGM_Free",
        "MT_Crack",
        "PCB_Free",
    }
    wrong = {
        "unreadable",
        "conflicts",
        "mask_missing",
        "mask_size",
        "mask_empty",
        "box_outside",
        "region_outside",
    }
    assert not wrong & {found["kind"] for found in report["findings"]}


def test_samples_command_draws_readable_pictures(tmp_path: Path) -> None:
    result = run("samples", tmp_path / "sample")
    assert result.exit_code == 0, result.output
    pictures = [path for path in (tmp_path / "sample").iterdir() if path.suffix in {".png", ".jpg"}]
    assert len(pictures) >= 10
    for path in pictures:
        with Image.open(path) as image:
            image.load()
