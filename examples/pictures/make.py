"""Make this folder's pictures from the sample photographs of scikit-image 0.26.0.

    python3 -m pip install scikit-image==0.26.0 pillow==13.0.0
    python3 make.py

The lossless files give every decoder the same pixels, so reference numbers made from them are exact; the
JPEGs are what people really have.
"""

from pathlib import Path

import skimage
from PIL import Image

HERE = Path(__file__).resolve().parent
DATA = Path(skimage.__file__).resolve().parent / "data"


def smaller(name: str, short_side: int) -> Image.Image:
    """The photograph as RGB with its short side reduced to `short_side` pixels."""
    image = Image.open(DATA / name).convert("RGB")
    scale = short_side / min(image.size)
    size = tuple(round(side * scale) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=None)


smaller("chelsea.png", 256).save(HERE / "cat.png", optimize=True, icc_profile=None)
smaller("coffee.png", 256).save(HERE / "coffee.webp", lossless=True, quality=100, method=6)
# No chroma subsampling: decoders differ most in how they scale the chroma planes up again.
smaller("astronaut.png", 384).save(HERE / "astronaut.jpg", quality=90, subsampling=0, optimize=True)
smaller("camera.png", 256).convert("L").save(HERE / "photographer.png", optimize=True)
smaller("rocket.jpg", 384).save(HERE / "rocket.jpg", quality=88, optimize=True, comment=b"")
