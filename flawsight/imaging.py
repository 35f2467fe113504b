"""Bytes to pixels and back: every picture enters the program as RGB uint8 (H, W, 3).

What becomes of the less usual kinds:

* EXIF orientation is applied, so the picture stands as the camera saw it.
* Grey becomes three equal channels; palette, CMYK, YCbCr and Lab become RGB.
* Transparency is laid over white, as a page would show it.
* 16-bit grey is scaled over its full range (value / 257, so 65535 is white).
* 32-bit integers and floats have no agreed white: they are stretched from their own darkest to
  their own brightest finite value.
* Of an animation or a multi-page file the first frame is taken.

Memory while decoding stays below about 8 bytes a pixel: Pillow's picture (4 at most) and the answer (3),
converted band by band.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from flawsight.errors import EmptyUpload, ImageError, ImageTooLarge, NotAnImage
from flawsight.i18n import Figure

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 50_000_000
MAX_SIDE = 65_500  # pixels, the longest that JPEG libraries write; a longer strip shows no part
BAND = 2_000_000  # pixels that are converted at a time
# Decoders that may see foreign bytes. A short list keeps exotic ones (EPS starts Ghostscript) out.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_FULL_COLOUR = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444  # colour is kept for every pixel
_ORIENTATION = 0x0112  # EXIF tag
_PNG_TURNS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")  # parts of a PNG that may hold that tag

log = logging.getLogger(__name__)


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image file's bytes to RGB uint8 (H, W, 3), C-contiguous.

    The size is read from the header and checked before any pixel is allocated.

    Raises:
        EmptyUpload: ``data`` is empty.
        ImageTooLarge: more than ``max_bytes`` bytes or ``max_pixels`` pixels.
        NotAnImage: no decoder knows the bytes, or the file is damaged or ends early.
    """
    if not data:
        raise EmptyUpload("The file is empty. Choose a PNG, JPEG, BMP, TIFF, WebP or GIF file.")
    _check_bytes(len(data), max_bytes)
    with _open(data, max_pixels) as image:
        _check_pixels(image.size, max_pixels)
        try:
            loaded = _load(image, data)
            _turn_upright(loaded)
            return _to_rgb(loaded)
        except MemoryError:
            raise
        except Exception as error:  # decoders fail in any way they like on damaged bytes
            log.debug("An image cannot be decoded: %s", error)  # in English, and of no use to the sender
            raise NotAnImage(
                "The image is damaged or ends early. Save or transfer it again, then retry."
            ) from error


def read_image(
    path: str | Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """The image file ``path`` as RGB uint8 (H, W, 3).

    Raises:
        ImageError: the file cannot be read, or as for :func:`decode`.
    """
    return decode(read_bytes(path, max_bytes=max_bytes), max_bytes=max_bytes, max_pixels=max_pixels)


def read_bytes(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of ``path``; the size is checked before reading.

    Raises:
        ImageTooLarge: the file has more than ``max_bytes`` bytes.
        ImageError: the file cannot be read.
    """
    path = Path(path)
    try:
        _check_bytes(path.stat().st_size, max_bytes)
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            "%(path)s cannot be read (%(strerror)s). Check the path and its permissions.",
            path=path,
            strerror=error.strerror or error,
        ) from error


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W)."""
    buffer = BytesIO()
    # Level 1: on photographs and textures twice as fast as the middle levels, and no larger.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_indexed_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """PNG bytes of a picture of few colours: indices (H, W) into an RGBA ``palette`` (256, 4)."""
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes(), "RGBA")
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """JPEG bytes of uint8 RGB (H, W, 3) at full colour resolution; ``quality`` 1..95."""
    how = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _FULL_COLOUR)
    # Unlike Pillow, OpenCV lets other threads work meanwhile.
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), how)
    return bytes(encoded)


def shows_as_is(data: bytes) -> bool:
    """Whether a viewer shows the image file ``data`` with the very pixels that :func:`decode` gives.

    True of a plain 8-bit grey or RGB PNG or JPEG that stands upright. Only the header is read; no
    pixel is checked.
    """
    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            plain = image.mode in ("L", "RGB") and not image.has_transparency_data
            still = getattr(image, "n_frames", 1) == 1
            # A PNG may say how it is turned after its pixels; asking Pillow would decode them.
            turned = (
                any(mark in data for mark in _PNG_TURNS)
                if image.format == "PNG"
                else image.getexif().get(_ORIENTATION, 1) != 1
            )
            return plain and still and not turned
    except Exception:  # as for every header: whatever is wrong, it is not plain
        return False


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def _check_bytes(size: int, limit: int) -> None:
    if size > limit:
        raise ImageTooLarge(
            "The file has %(size)s MiB; the limit is %(limit)s MiB. Send a smaller file, or "
            "raise FLAWSIGHT_MAX_UPLOAD_MB.",
            size=Figure(size / 2**20, 1),
            limit=Figure(limit / 2**20, 1),
        )


def _check_pixels(size: tuple[int, int], limit: int) -> None:
    width, height = size
    if width * height > limit:
        raise ImageTooLarge(
            "The image has %(width)s x %(height)s pixels; the limit is %(limit)s pixels. Send a "
            "smaller picture or a part of it, or raise FLAWSIGHT_MAX_PIXELS.",
            width=width,
            height=height,
            limit=Figure(limit),
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            "The image has %(width)s x %(height)s pixels; no side may have more than "
            "%(max_side)s. Cut the part out of the picture and send that.",
            width=width,
            height=height,
            max_side=Figure(MAX_SIDE),
        )
    if width < 1 or height < 1:
        raise NotAnImage(
            "The image has %(width)s x %(height)s pixels: there is nothing to inspect.",
            width=width,
            height=height,
        )


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit, far above ours unless ours was raised.
        raise ImageTooLarge(
            "The image has far too many pixels; the limit is %(max_pixels)s. Send a smaller picture or a "
            "part of it.",
            max_pixels=Figure(max_pixels),
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # any failure on a header means the same to the sender
        raise NotAnImage(
            "The file is not an image that can be read. Send a PNG, JPEG, BMP, TIFF, WebP or GIF file."
        ) from error


def _load(image: Image.Image, data: bytes) -> Image.Image:
    """``image`` with its pixels.

    A still WebP is read by OpenCV: Pillow's reader is made for animations and holds it many times over.
    """
    if image.format != "WEBP" or getattr(image, "is_animated", False):
        image.load()
        return image
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[1::-1] != image.size:
        raise ValueError("WebP data that do not fit together")
    swap = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    loaded = Image.fromarray(cv2.cvtColor(pixels, swap, dst=pixels))
    loaded.info = image.info  # EXIF
    return loaded


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return  # a broken EXIF block must not refuse a sound picture


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    width, height = image.size
    convert = _converter(image)
    if width * height <= BAND:
        return np.ascontiguousarray(convert(image))
    rgb = np.empty((height, width, 3), np.uint8)
    for rows, band in _bands(image):
        rgb[rows] = convert(band)
    return rgb


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Strips of ``image`` over its whole width, with the rows they cover."""
    width, height = image.size
    step = max(1, BAND // width)
    for top in range(0, height, step):
        bottom = min(height, top + step)
        yield slice(top, bottom), image.crop((0, top, width, bottom))


def _converter(image: Image.Image) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """How bands of ``image`` become RGB uint8 (h, W, 3); each pixel by itself."""
    if image.mode.startswith("I;16"):
        return lambda band: _grey_to_rgb(np.round(np.asarray(band).astype(np.float32) / 257))
    if image.mode in ("I", "F"):
        low, high = _range(image)
        return lambda band: _grey_to_rgb(_stretch(np.asarray(band, dtype=np.float64), low, high))
    if image.has_transparency_data:
        return _over_white
    if image.mode == "L":  # sooner than by Pillow, and what most inspection cameras send
        return lambda band: _grey_to_rgb(np.asarray(band))
    return lambda band: np.array(band if band.mode == "RGB" else band.convert("RGB"), dtype=np.uint8)


def _over_white(band: Image.Image) -> NDArray[np.uint8]:
    page = Image.new("RGBA", band.size, "white")
    page.alpha_composite(band.convert("RGBA"))
    return np.array(page.convert("RGB"), dtype=np.uint8)


def _range(image: Image.Image) -> tuple[float, float]:
    """The darkest and the brightest finite value; (0, 0) if there is none."""
    low, high = np.inf, -np.inf
    for _, band in _bands(image):
        values = np.asarray(band, dtype=np.float64)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _stretch(values: NDArray[np.float64], low: float, high: float) -> NDArray[Any]:
    """Finite values from ``low`` to ``high`` onto 0..255; what is not finite becomes black."""
    scale = 255 / (high - low) if high > low else 0.0
    return np.round(np.where(np.isfinite(values), (values - low) * scale, 0))


def _grey_to_rgb(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) with values 0..255 to three equal channels."""
    return np.asarray(cv2.cvtColor(grey.astype(np.uint8, copy=False), cv2.COLOR_GRAY2RGB), np.uint8)
