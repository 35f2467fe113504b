"""Bytes to pixels: every kind of file gets the right picture or the right message."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawsight.errors import EmptyUpload, ImageError, ImageTooLarge, NotAnImage
from flawsight.imaging import MAX_SIDE, decode, encode_jpeg, encode_png, read_image, sha256


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_red_stays_red(kind: str) -> None:
    pixels = decode(saved(Image.new("RGB", (40, 20), (255, 0, 0)), kind))
    assert pixels.shape == (20, 40, 3)
    assert pixels.dtype == np.uint8
    red, green, blue = pixels.mean(axis=(0, 1))
    assert red > 245
    assert max(green, blue) < 10


def test_red_stays_red_through_png_and_jpeg_encoding() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    assert np.array_equal(decode(encode_png(red)), red)
    assert np.abs(decode(encode_jpeg(red, 95)).astype(int) - red).max() < 8


def test_grey_becomes_three_equal_channels() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = decode(encode_png(ramp))
    assert all(np.array_equal(pixels[..., channel], ramp) for channel in range(3))


def test_one_bit_image_is_black_and_white() -> None:
    pixels = decode(saved(Image.fromarray(np.eye(8) > 0)))
    assert np.array_equal(pixels[..., 0], np.eye(8, dtype=np.uint8) * 255)


def test_palette_image_keeps_its_colours() -> None:
    pixels = decode(saved(Image.new("RGB", (8, 8), (0, 0, 255)).convert("P")))
    assert np.abs(pixels.astype(int) - (0, 0, 255)).max() <= 5


def test_cmyk_red_is_red() -> None:
    pixels = decode(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (9, 9, 9, 0)), ("LA", (9, 0))])
def test_transparent_pixels_are_white(mode: str, clear: tuple[int, ...]) -> None:
    assert (decode(saved(Image.new(mode, (8, 8), clear))) == 255).all()


def test_half_transparent_red_is_mixed_with_white() -> None:
    pixels = decode(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 128))))
    assert np.abs(pixels.astype(int) - (255, 127, 127)).max() <= 1


def test_palette_with_a_transparent_entry_is_laid_over_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30] * 256)
    assert (decode(saved(image, transparency=0)) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_over_the_full_range(kind: str) -> None:
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert decode(saved(Image.fromarray(grey), kind))[0, :, 1].tolist() == [0, 1, 128, 255]


def test_big_endian_sixteen_bit_tiff_is_read_right() -> None:
    raw = Image.frombytes("I;16B", (2, 1), struct.pack(">HH", 0, 65535))
    assert decode(saved(raw, "TIFF"))[0, :, 0].tolist() == [0, 255]


def test_float_tiff_is_stretched_between_its_finite_extremes() -> None:
    values = np.array([[-1.0, 0.0, 1.0, np.nan, np.inf]], np.float32)
    assert decode(saved(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 128, 255, 0, 0]


def test_constant_float_image_does_not_divide_by_zero() -> None:
    assert (decode(saved(Image.fromarray(np.full((4, 4), 3.5, np.float32)), "TIFF")) == 0).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_exif_orientation_is_applied_once(kind: str) -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (0, 0, 20, 20))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the left half comes to the top
    pixels = decode(saved(image, kind, exif=exif))
    assert pixels.shape == (40, 20, 3)
    assert pixels[:18].mean() > 245
    assert pixels[22:].mean() < 10


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation_is_taken(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    pixels = decode(saved(first, kind, save_all=True, append_images=[second]))
    assert pixels[..., 0].mean() > 245
    assert pixels[..., 2].mean() < 10


def test_empty_upload_is_told_apart() -> None:
    with pytest.raises(EmptyUpload, match="empty"):
        decode(b"")


@pytest.mark.parametrize(
    "data",
    [b"hello", b"\0" * 1000, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=["text", "zeros", "svg", "eps"],
)
def test_what_is_not_an_image_is_refused(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="not an image"):
        decode(data)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow grumbles before it gives up
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_truncated_file_is_refused(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), kind)
    with pytest.raises(NotAnImage) as refused:
        decode(data[: int(len(data) * share)])
    # What a decoder says of it is English: it stays in the chain, out of the sentence that people see.
    assert refused.value.__cause__ is not None and str(refused.value.__cause__) not in refused.value.said()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow grumbles before it gives up
def test_damaged_bytes_never_escape_the_error_tree() -> None:
    rng = np.random.default_rng(1)
    originals = [
        saved(Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)), kind)
        for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
    ]
    refused = 0
    for data in originals:
        for _ in range(60):
            damaged = bytearray(data)
            for position in rng.integers(0, len(data), 8):
                damaged[position] = rng.integers(0, 256)
            try:
                decode(bytes(damaged), max_pixels=1_000_000)
            except ImageError:
                refused += 1
    assert refused > 50


@pytest.mark.parametrize("side", [8_000, 12_000, 50_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(ImageTooLarge, match="Send a smaller picture") as refused:
        decode(png_header(side, side))
    assert "exceeds limit" not in refused.value.said() and "50,000,000" in refused.value.said()


@pytest.mark.filterwarnings("error")
def test_bomb_is_refused_when_warnings_are_errors() -> None:
    with pytest.raises(ImageTooLarge):
        decode(png_header(10_000, 10_000))


def test_too_many_bytes_are_refused_before_decoding() -> None:
    with pytest.raises(ImageTooLarge, match="MiB"):
        decode(b"x" * 1001, max_bytes=1000)


def test_read_image_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png cannot be read"):
        read_image(tmp_path / "gone.png")


def test_read_image_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(encode_png(np.full((5, 7, 3), 9, np.uint8)))
    assert read_image(path).shape == (5, 7, 3)


def test_sha256_is_of_the_bytes() -> None:
    assert sha256(b"abc").startswith("ba7816bf")


@pytest.mark.parametrize("shape", [(2, MAX_SIDE, 3), (MAX_SIDE, 2, 3)])
def test_the_longest_strip_that_is_taken_can_be_stored_too(shape: tuple[int, int, int]) -> None:
    strip = decode(encode_png(np.full(shape, 130, np.uint8)))
    assert decode(encode_jpeg(strip)).shape == strip.shape == shape


def test_a_longer_strip_is_refused() -> None:
    with pytest.raises(ImageTooLarge):
        decode(encode_png(np.zeros((1, MAX_SIDE + 1), np.uint8)))
