"""Decoding of image files: the RGB pixels are those a person sees, or the file is refused."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from rppbench.errors import UNREADABLE, MissingDataError
from rppbench.files.rgb import decode_image

GREY = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
COLOUR = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    out = io.BytesIO()
    image.save(out, kind, **options)
    out.seek(0)
    return out


def decoded(image: Image.Image, kind: str, **options: object) -> np.ndarray:
    result = decode_image(encoded(image, kind, **options), "it")
    assert result.mode == "RGB"
    return np.asarray(result)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_the_same_picture_as_eight(kind: str) -> None:
    pixels = decoded(Image.fromarray(GREY.astype(np.uint16) * 257), kind)
    np.testing.assert_array_equal(pixels, np.stack([GREY] * 3, 2))


def test_sixteen_bits_of_the_other_byte_order() -> None:
    values = (GREY.astype(np.uint16) * 257).astype(">u2")
    image = Image.frombytes("I;16B", (64, 64), values.tobytes())
    np.testing.assert_array_equal(decoded(image, "TIFF")[..., 0], GREY)


def test_floats_from_0_to_1_are_scaled() -> None:
    pixels = decoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF")
    np.testing.assert_array_equal(pixels[..., 1], GREY)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (GREY.astype(np.float32), "floating-point values go from 0 to 252, not 0 to 1"),
        (GREY.astype(np.float32) / 255 - 0.5, "floating-point values go from -0.5 to"),
        (np.full((4, 4), np.nan, np.float32), "floating-point values go from nan to nan"),
        (GREY.astype(np.int32) * 257, "32-bit integers, whose range is not stated"),
    ],
)
def test_an_unknown_range_is_refused_by_name(values: np.ndarray, reason: str) -> None:
    file = encoded(Image.fromarray(values), "TIFF")
    with pytest.raises(MissingDataError, match=f"cannot read image scan.tif: .*{reason}") as caught:
        decode_image(file, "scan.tif")
    assert caught.value.problem == UNREADABLE


def rgba(alpha: int, hidden: int) -> Image.Image:
    """A red picture whose left half has this alpha and, if 0, this grey underneath."""
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, 255
    pixels[:, :2] = (hidden, hidden, hidden, alpha)
    return Image.fromarray(pixels)


def test_hidden_colours_decide_nothing() -> None:
    dark, light = decoded(rgba(0, 0), "PNG"), decoded(rgba(0, 77), "PNG")
    np.testing.assert_array_equal(dark, light)
    assert dark[0, 0].tolist() == [255, 255, 255]
    assert dark[0, 3].tolist() == [200, 0, 0]


def test_published_sets_are_read_as_their_official_loaders_do() -> None:
    image = decode_image(encoded(rgba(0, 77), "PNG"), "it", drop_transparency=True)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(rgba(0, 77).convert("RGB")))


def test_half_transparent_pixels_are_blended_with_white() -> None:
    assert decoded(rgba(128, 100), "PNG")[0, 0].tolist() == [177, 177, 177]


def test_opaque_pixels_keep_their_colours() -> None:
    image = Image.fromarray(COLOUR)
    for kind, mode in (("PNG", "RGBA"), ("WEBP", "RGBA"), ("PNG", "RGB"), ("BMP", "RGB")):
        options = {"lossless": True} if kind == "WEBP" else {}
        np.testing.assert_array_equal(decoded(image.convert(mode), kind, **options), COLOUR)
    grey = image.convert("L")
    np.testing.assert_array_equal(decoded(grey.convert("LA"), "PNG")[..., 2], np.asarray(grey))


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (Image.new("L", (4, 4), 9), 9),
        (Image.new("1", (4, 4), 0), 0),
        (Image.new("RGB", (4, 4), (9, 9, 9)).quantize(4), 0),
        (Image.new("RGB", (4, 4), (1, 2, 3)), (1, 2, 3)),
        (Image.fromarray(np.full((4, 4), 4660, np.uint16)), 4660),
    ],
    ids=["L", "1", "P", "RGB", "I;16"],
)
def test_a_transparent_colour_is_white(image: Image.Image, key: object) -> None:
    assert (decoded(image, "PNG", transparency=key) == 255).all()


def test_the_transparent_colour_of_a_png_of_sixteen_bits_a_channel() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    key = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    row = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0xFFFF, 0, 0)
    data = chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n" + header + key + data)
    pixels = np.asarray(decode_image(file, "it"))
    assert pixels[0].tolist() == [[255, 255, 255], [255, 0, 0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Image.new("CMYK", (4, 4), (10, 20, 30, 40)),
        lambda: Image.new("P", (4, 4), 1),
        lambda: Image.new("1", (4, 4), 1),
    ],
)
def test_other_modes_are_converted_as_pillow_does(make: Callable[[], Image.Image]) -> None:
    image = make()
    kind = "TIFF" if image.mode == "CMYK" else "PNG"
    np.testing.assert_array_equal(decoded(image, kind), np.asarray(image.convert("RGB")))


def test_orientation_is_not_applied_as_in_the_official_loaders() -> None:
    image = Image.fromarray(COLOUR)
    exif = image.getexif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(decoded(image, "PNG", exif=exif), COLOUR)
