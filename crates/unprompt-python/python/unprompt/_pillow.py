"""Pillow images as what the compiled part takes.

The pixels go over as they are; so do texts, EXIF and XMP, so that a prompt in them is still found.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    Parts = bytes | tuple[int, bytes, list[tuple[str, str]], bytes | None]

# Modes whose bytes are pixels of 8-bit channels as PNG has them, with the number of channels.
_PLAIN = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
# Modes that Pillow writes into a PNG as they are.
_WRITTEN = {"1", "P", "I;16", *_PLAIN}
# What becomes of modes that PNG does not have.
_CONVERTED = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}


def parts(image: Image) -> Parts:
    """The channels, pixels, texts and EXIF of an image, or all of it as a PNG.

    Raises:
        OSError: The file behind the image is damaged.
    """
    if image.mode not in _WRITTEN:
        info = image.info
        image = image.convert(_CONVERTED.get(image.mode, "RGB"))
        image.info = info
    # Transparency that is no channel is kept by Pillow's own writer only.
    if image.mode in _PLAIN and "transparency" not in image.info:
        return _PLAIN[image.mode], image.tobytes(), _texts(image.info), _exif(image)
    return _png(image)


def _png(image: Image) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for keyword, text in _texts(image.info):
        if 0 < len(keyword) < 80 and keyword.isascii():
            texts.add_itxt(keyword, text)
    file = io.BytesIO()
    options: dict[str, Any] = {"compress_level": 0, "pnginfo": texts, "icc_profile": None}
    exif = _exif(image)
    if exif is not None:
        options["exif"] = exif
    image.save(file, "PNG", **options)
    return file.getvalue()


def _texts(info: dict[Any, Any]) -> list[tuple[str, str]]:
    """The texts that an image carries, with the keywords that PNG has for them."""
    texts = []
    for key, value in info.items():
        if not isinstance(key, str):
            continue
        if key in {"xmp", "XML:com.adobe.xmp"}:
            key = "XML:com.adobe.xmp"
        elif not isinstance(value, str) and key != "comment":
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            texts.append((key, str(value)))
    return texts


def _exif(image: Image) -> bytes | None:
    """The EXIF block, without the marker that JPEG puts before it."""
    exif = image.info.get("exif")
    if not exif:
        found = image.getexif()
        exif = found.tobytes() if len(found) else None
    if not isinstance(exif, bytes):
        return None
    return exif.removeprefix(b"Exif\x00\x00")
