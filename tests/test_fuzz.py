"""Whatever bytes arrive: a defined answer, in time, with little memory.

The usual run tries a few hundred damaged files, always the same ones. Thousands, each time others:

    HYPOTHESIS_PROFILE=thorough python -m pytest tests/test_fuzz.py
"""

from __future__ import annotations

import gc
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, find, given, settings
from hypothesis import strategies as st
from PIL import Image
from web_client import PROBLEM_KEYS, animated, bomb, close, cracked, encoded, send_to_api, tiny_app

from flawsight import imaging
from flawsight.errors import ImageError
from flawsight.settings import PROJECT_ROOT

LONGEST_S = 5.0
MOST_MEMORY = 200 * 2**20  # bytes beyond what the process had
KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")

settings.register_profile("usual", max_examples=400, derandomize=True, database=None, deadline=None)
settings.register_profile("thorough", max_examples=5000, database=None, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
THROUGH_THE_APP = settings(SHARED, max_examples=settings().max_examples // 5)

# Pillow grumbles about damaged files before it gives up; here warnings must stay warnings.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore:::PIL")]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seeds() -> list[bytes]:
    """Small sound files: each format in its usual modes."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    colour, grey = Image.fromarray(noise[..., :3].copy()), Image.fromarray(noise[..., 0].copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        *(saved(colour, kind) for kind in KINDS),
        *(saved(grey, kind) for kind in KINDS),
        saved(Image.fromarray(noise), "PNG", exif=exif),
        saved(colour.convert("P"), "PNG", transparency=3),
        saved(Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG"),
        saved(Image.fromarray(noise[..., 0] > 100), "PNG"),
        saved(colour.convert("CMYK"), "JPEG", exif=exif),
        saved(colour, "JPEG", progressive=True),
        saved(Image.fromarray(noise), "WEBP", lossless=True, exif=exif),
        saved(colour, "WEBP", save_all=True, append_images=[colour]),
        *(saved(colour, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        saved(Image.fromarray(noise[..., 0] > 100), "TIFF", compression="group4"),
        saved(Image.fromarray(noise[..., 0].astype(np.float32)), "TIFF"),
        saved(colour.convert("P"), "GIF", save_all=True, append_images=[grey.convert("P")]),
        saved(colour.convert("P"), "BMP"),
    ]


SEEDS = seeds()
NUMBERS = st.sampled_from([0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound file after one to six accidents."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        # Half of the accidents happen near the start, where a file says what it is.
        end = min(len(data), 64) if draw(st.booleans()) else len(data)
        at = draw(st.integers(0, end - 1))
        match draw(st.sampled_from(("byte", "number", "cut", "remove", "repeat", "insert", "splice"))):
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "number":
                form = draw(st.sampled_from(("<I", ">I", "<H", ">H")))
                size = struct.calcsize(form)
                data[at : at + size] = struct.pack(form, draw(NUMBERS) & (256**size - 1))
            case "cut":
                del data[at:]
            case "remove":
                del data[at : at + draw(st.integers(1, 40))]
            case "repeat":
                data[at:at] = data[at : at + 60] * draw(st.integers(1, 20))
            case "insert":
                data[at:at] = draw(st.binary(max_size=30))
            case "splice":
                other = draw(st.sampled_from(SEEDS))
                data[at:] = other[draw(st.integers(0, len(other) - 1)) :]
    whole = bytes(data)
    return with_checksums(whole) if draw(st.booleans()) else whole


def with_checksums(data: bytes) -> bytes:
    """PNG chunks with checksums that fit again, so that damage gets past the first check."""
    mark = b"\x89PNG\r\n\x1a\n"
    if not data.startswith(mark):
        return data
    out, at = bytearray(mark), len(mark)
    while at + 12 <= len(data):
        [length] = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if len(body) != 4 + length:
            break
        out += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out + data[at:])


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """No test, with all its files, may take much memory at any moment."""
    with little(MOST_MEMORY):
        yield


@contextmanager
def little(memory: int) -> Iterator[None]:
    """Fails if more than ``memory`` bytes are taken at any moment within."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # begins the high-water mark anew
    before = residents()
    yield
    after = residents()
    extra = after["VmHWM"] - before["VmRSS"]
    assert extra < memory, f"{extra / 2**20:.0f} MiB; before {before}, after {after}"


@contextmanager
def in_time() -> Iterator[None]:
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert took < LONGEST_S, f"{took:.1f} s"


def residents() -> dict[str, int]:
    """Resident memory of this process in bytes: now, its kinds, and the most there was."""
    found = re.findall(r"(VmHWM|VmRSS|RssAnon|RssFile):\s+(\d+) kB", Path("/proc/self/status").read_text())
    return {name: int(size) * 1024 for name, size in found}


def check_decoded(data: bytes) -> None:
    with in_time():
        try:
            pixels = imaging.decode(data)
        except ImageError:
            return
    height, width, channels = pixels.shape
    assert pixels.dtype == np.uint8 and channels == 3 and pixels.flags.c_contiguous
    assert 0 < height * width <= imaging.MAX_PIXELS


@given(damaged())
@SHARED
def test_a_damaged_file_is_a_picture_or_a_reason(data: bytes) -> None:
    check_decoded(data)


@given(st.binary(max_size=2000), st.sampled_from([b"", *(seed[:24] for seed in SEEDS)]))
@example(b"", b"")
@SHARED
def test_garbage_is_a_reason_also_behind_a_sound_beginning(garbage: bytes, beginning: bytes) -> None:
    check_decoded(beginning + garbage)


@st.composite
def tiff_with_odd_tags(draw: st.DrawFn) -> bytes:
    """A TIFF directory of real and unreal tags with sizes, types and places from everywhere."""
    known = st.sampled_from([254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 330, 347])
    number = st.one_of(st.integers(0, 300), NUMBERS)
    tag = st.tuples(st.one_of(known, st.integers(0, 65535)), st.integers(0, 20), number, number)
    tags = sorted(draw(st.lists(tag, min_size=1, max_size=16)))
    packed = b"".join(struct.pack("<HHII", *fields) for fields in tags)
    following = struct.pack("<I", draw(st.sampled_from([0, 8, 0xFFFFFFFF])))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + following + bytes(200)


@given(tiff_with_odd_tags())
@SHARED
def test_absurd_tiff_tags_are_a_reason(data: bytes) -> None:
    check_decoded(data)


# --- through the app ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = tiny_app(tmp_path_factory.mktemp("fuzz"))
    # Hypothesis makes its table of Unicode on first use and keeps it in .hypothesis: 200 MB, but not ours.
    find(st.text(), lambda _: True)
    # What is loaded with the first inspection and its report is no cost of a damaged file.
    links = send_to_api(app.test_client(), encoded(cracked()), "part.png").get_json()["links"]
    for link in (links["page"], links["pdf"], *links["pictures"].values()):
        assert app.test_client().get(link).status_code == 200
    yield app
    close(app)


@given(damaged(), st.text(max_size=80))
@THROUGH_THE_APP
def test_the_api_answers_every_file_and_name_with_sense(app: Flask, data: bytes, name: str) -> None:
    client = app.test_client()
    with in_time():
        answer = send_to_api(client, data, name.encode("utf-8", "replace").decode() or "x")
        body = answer.get_json()
        if answer.status_code != 201:
            assert answer.status_code in (400, 413, 415), answer.status_code
            assert set(body) == PROBLEM_KEYS
            return
        links = body["links"]
        for link in (links["page"], links["pdf"], *links["pictures"].values()):
            assert client.get(link).status_code == 200, link


# --- named inputs, as listed in docs/inputs.md --------------------------------------------------------


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, extra: bytes = b"", pixels: bytes | None = None) -> bytes:
    """A black grey PNG with chunks ``extra`` before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes(height * (width + 1))) if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def squeezed(size: int = 100_000_000) -> bytes:
    return zlib.compress(bytes(size), 1)


def gif(frames: int, side: int = 32) -> bytes:
    images = [Image.new("L", (side, side), number % 256) for number in range(frames)]
    return saved(images[0], "GIF", save_all=True, append_images=images[1:])


def huge_frames(count: int) -> bytes:
    """A GIF whose frames claim 7,000 x 7,000 pixels and hold none."""
    frame = b"!\xf9\x04\0\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 7000, 7000, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", 7000, 7000, 0x80, 0, 0) + bytes(6) + frame * count + b";"


def tiff(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + struct.pack("<I", following)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(cracked()), "JPEG", exif=exif)


def sixteen_bit() -> bytes:
    return encoded(cracked().astype(np.uint16) * 257)


# The words of the table in docs/inputs.md: bytes, file name, status, code.
INPUTS: dict[str, tuple[Callable[[], bytes], str, int, str]] = {
    "PNG, JPEG, WebP, TIFF, BMP, GIF": (lambda: encoded(cracked(), "WEBP"), "part.webp", 201, ""),
    "a wrong or missing extension": (lambda: encoded(cracked()), "part.exe", 201, ""),
    "CMYK": (lambda: encoded(cracked(), "JPEG", "CMYK"), "part.jpg", 201, ""),
    "16 bits a channel": (sixteen_bit, "part.png", 201, ""),
    "32-bit integers or floats": (lambda: encoded(cracked().astype(np.float32), "TIFF"), "p.tif", 201, ""),
    "a palette": (lambda: encoded(cracked(), "PNG", "P"), "part.png", 201, ""),
    "transparency": (lambda: encoded(cracked(), "PNG", "RGBA"), "part.png", 201, ""),
    "one bit a pixel": (lambda: encoded(cracked() > 99), "part.png", 201, ""),
    "several frames or pages": (animated, "part.gif", 201, ""),
    "thousands of frames": (lambda: gif(3000), "part.gif", 201, ""),
    "turned by EXIF": (turned, "part.jpg", 201, ""),
    "1 x 1 pixel": (lambda: png(1, 1), "dot.png", 400, "too_small"),
    "20,000 x 10 pixels": (lambda: png(20_000, 10), "strip.png", 400, "too_small"),
    "10 x 20,000 pixels": (lambda: png(10, 20_000), "strip.png", 400, "too_small"),
    "a side over 65,500 pixels": (lambda: png(70_000, 2), "line.png", 413, "image_too_large"),
    "50,000 x 50,000 pixels claimed": (lambda: bomb(50_000), "bomb.png", 413, "image_too_large"),
    "a TIFF that claims 4 billion pixels a side": (
        lambda: tiff(
            (256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)
        ),
        "bomb.tif",
        413,
        "image_too_large",
    ),
    "a PNG whose text unpacks to 100 MB (iTXt)": (
        lambda: png(64, 64, chunk(b"iTXt", b"k\0\1\0\0\0" + squeezed())),
        "bomb.png",
        415,
        "not_an_image",
    ),
    "the same as zTXt": (
        lambda: png(64, 64, chunk(b"zTXt", b"k\0\0" + squeezed())),
        "bomb.png",
        415,
        "not_an_image",
    ),
    "the same as colour profile (iCCP)": (
        lambda: png(64, 64, chunk(b"iCCP", b"k\0\0" + squeezed())),
        "bomb.png",
        415,
        "not_an_image",
    ),
    "a thousand texts that unpack to 1 MB each": (
        lambda: png(64, 64, chunk(b"zTXt", b"k\0\0" + squeezed(1_000_000)) * 1000),
        "bomb.png",
        415,
        "not_an_image",
    ),
    "pixels that unpack to far more than the picture has": (
        lambda: png(64, 64, pixels=squeezed()),
        "bomb.png",
        201,
        "",
    ),
    "large frames with nothing in them": (lambda: huge_frames(500), "bomb.gif", 415, "not_an_image"),
    "a TIFF with 65,000 tags": (
        lambda: tiff(*((number, 4, 1, 0) for number in range(65_000))),
        "tags.tif",
        415,
        "not_an_image",
    ),
    "a TIFF directory that points to itself": (
        lambda: tiff((256, 4, 1, 64), following=8),
        "loop.tif",
        415,
        "not_an_image",
    ),
    "a TIFF that counts 4 billion strips": (
        lambda: tiff((256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (273, 4, 2**32 - 1, 8)),
        "strips.tif",
        415,
        "not_an_image",
    ),
    "cut off": (lambda: encoded(cracked())[:400], "part.png", 415, "not_an_image"),
    "text, HTML, SVG, PDF, PostScript, a program": (lambda: b"<svg/>", "x.png", 415, "not_an_image"),
    "zero bytes": (lambda: b"", "part.png", 400, "empty_upload"),
    "more bytes than the limit": (lambda: bytes(33 * 2**20), "big.png", 413, "too_large"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_each_named_input_has_its_answer(app: Flask, kind: str) -> None:
    make, name, status, code = INPUTS[kind]
    data = make()
    with in_time():
        answer = send_to_api(app.test_client(), data, name)
    assert answer.status_code == status, answer.get_json()
    if code:
        assert answer.get_json()["code"] == code


def test_the_document_lists_exactly_these_inputs_and_answers() -> None:
    table = (PROJECT_ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!---)(.+?) \| (\d{3})(?: `(\w+)`)? \|", table, re.MULTILINE)
    assert {row[0]: (int(row[1]), row[2]) for row in rows} == {
        kind: (status, code) for kind, (_, _, status, code) in INPUTS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_large_picture_takes_no_more_than_eight_bytes_a_pixel(kind: str, mode: str) -> None:
    width, height = 5000, 3000
    data = saved(Image.new(mode, (width, height), "grey"), kind)
    with little(8 * width * height + 16 * 2**20):
        assert imaging.decode(data, max_bytes=2**26).shape == (height, width, 3)


def test_bands_join_without_a_seam() -> None:
    ramp = np.arange(3_000_000, dtype=np.float32).reshape(3000, 1000) % 256
    pixels = imaging.decode(saved(Image.fromarray(ramp), "TIFF"))
    assert np.array_equal(pixels[..., 2], ramp.astype(np.uint8))
