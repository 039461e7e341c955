"""Makes the pictures of this folder: what cameras and editors leave in files, and no prompt.

Run from anywhere:

    python3 -m pip install pillow==13.0.0
    python3 crates/unprompt-metadata/tests/photographs/make.py
"""

import pathlib
import struct

from PIL import Image, ImageCms, PngImagePlugin

HERE = pathlib.Path(__file__).parent

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) A. Nobody</rdf:li></rdf:Alt></dc:rights>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
""" + " " * 200 + "\n<?xpacket end=\"w\"?>"


def picture(mode="RGB", shift=0):
    image = Image.new(mode, (24, 16))
    for y in range(16):
        for x in range(24):
            colour = ((x * 10 + shift) % 256, y * 15, (x * 7 + y * 3) % 256)
            image.putpixel((x, y), colour + (x * 10,) if mode == "RGBA" else colour)
    return image


def exif(order="<"):
    """Main directory, EXIF directory with a maker note that holds an offset into the block, and the
    directory of a thumbnail. The last value has an odd length."""
    mark = b"II" if order == "<" else b"MM"
    maker = b"Maker\0" + struct.pack(order + "HI", 1, 0) + b"\1\2\3 private"
    strings = {0x010F: b"Camera Works\0", 0x0110: b"Box 1\0", 0x8298: b"(c) A. Nobody\0"}
    main = [(0x010F, 2), (0x0110, 2), (0x0112, 3), (0x8298, 2), (0x8769, 4)]
    inner = [(0x829A, 5), (0x9000, 7), (0x927C, 7)]
    at = 8
    inner_at = at + 2 + 12 * len(main) + 4
    next_at = inner_at + 2 + 12 * len(inner) + 4
    data_at = next_at + 2 + 12 * 1 + 4
    data = b""

    def entry(tag, kind, value, count):
        nonlocal data
        if len(value) <= 4:
            return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
        place = data_at + len(data)
        if tag == 0x927C:
            # The offset of the note's own data, from the start of the block.
            value = value[:8] + struct.pack(order + "I", place + 12) + value[12:]
        data += value
        return struct.pack(order + "HHII", tag, kind, count, place)

    def directory(entries, following):
        return struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(
            order + "I", following
        )

    parts = [
        directory(
            [
                entry(0x010F, 2, strings[0x010F], len(strings[0x010F])),
                entry(0x0110, 2, strings[0x0110], len(strings[0x0110])),
                entry(0x0112, 3, struct.pack(order + "H", 6), 1),
                entry(0x8298, 2, strings[0x8298], len(strings[0x8298])),
                entry(0x8769, 4, struct.pack(order + "I", inner_at), 1),
            ],
            next_at,
        ),
        directory(
            [
                entry(0x829A, 5, struct.pack(order + "II", 1, 125), 1),
                entry(0x9000, 7, b"0232", 4),
                entry(0x927C, 7, maker, len(maker)),
            ],
            0,
        ),
        directory([entry(0x0103, 3, struct.pack(order + "H", 6), 1)], 0),
    ]
    return mark + struct.pack(order + "HI", 42, at) + b"".join(parts) + data


def main():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The date of its making would make each run's file another.
    profile = profile[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + profile[36:]
    jpeg = {"quality": 90, "icc_profile": profile}
    for name, order in [("camera.jpg", "<"), ("camera-big-endian.jpg", ">")]:
        picture().save(HERE / name, exif=b"Exif\0\0" + exif(order), comment=b"CREATOR: nobody", **jpeg)
    picture().save(HERE / "edited.jpg", xmp=XMP.encode(), exif=b"Exif\0\0" + exif(), **jpeg)
    picture().save(HERE / "scan.jpg", quality=90)
    picture().save(HERE / "progressive.jpg", quality=90, progressive=True)

    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "A. Nobody")
    info.add_text("Copyright", "(c) A. Nobody")
    info.add_text("Software", "Box 1")
    info.add_itxt("XML:com.adobe.xmp", XMP)
    options = {"pnginfo": info, "exif": exif(), "icc_profile": profile, "dpi": (72, 72)}
    picture("RGBA").save(HERE / "edited.png", **options)
    picture().quantize(16).save(HERE / "palette.png")

    picture().save(HERE / "lossy.webp", quality=80)
    picture("RGBA").save(HERE / "lossy-alpha.webp", quality=80)
    picture("RGBA").save(HERE / "lossless-alpha.webp", lossless=True, exact=True)
    picture().save(HERE / "lossless.webp", lossless=True)
    frames = [picture(shift=shift) for shift in (0, 40, 80)]
    frames[0].save(HERE / "animated.webp", save_all=True, append_images=frames[1:], quality=80)
    options = {"exif": exif(), "icc_profile": profile, "xmp": XMP.encode(), "quality": 80}
    picture().save(HERE / "edited.webp", **options)


main()
