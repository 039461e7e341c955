"""Makes the seeds that are no plain text: `python3 fuzz/seeds/make.py target/debug/unprompt`.

An index of three prompts by the tiny models of the fixtures, as its manifest, a zero byte and its segment, and as the
segment alone; a bundle with a model of one file; answers of a hub, as listing, entity tag and content between zero bytes."""

import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent.parent / "fixtures" / "models"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# A safetensors file without tensors.
WEIGHTS = b"\x08\0\0\0\0\0\0\0{}      "


def index(program):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "list.txt").write_text("a red fox\na castle\na ship in a storm\n")
        models = ["--clip", "./tiny-clip", "--sentence", "./tiny-sbert"]
        built = ["index", "build", folder / "list.txt", "--quiet", "--out", folder / "index", *models]
        subprocess.run([Path(program).resolve(), *built], cwd=MODELS, check=True)
        (segment,) = (folder / "index" / "segments").iterdir()
        return (folder / "index" / "manifest.json").read_bytes(), segment.read_bytes()


def bundle():
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    file = {"path": "model.safetensors", "size": len(WEIGHTS), "sha256": sha256, "etag": sha256}
    model = {"name": "org/model", "revision": COMMIT, "branch": "main", "files": [file]}
    entries = [
        ("unprompt-bundle.json", json.dumps({"format": 1, "models": [model]}).encode()),
        ("org/model/model.safetensors", WEIGHTS),
    ]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def answers(names, tag, content):
    listing = {"sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
    return b"\0".join([json.dumps(listing).encode(), tag.encode(), content])


def main():
    manifest, segment = index(sys.argv[1])
    shards = json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}).encode()
    made = {
        "index/three": manifest + b"\0" + segment,
        # Without its digest, which the target makes.
        "index/segment": segment[:-32],
        "index/no_rows": struct.pack("<8s3I44x", b"UNPRIDX1", 0, 1 << 30, 1 << 30),
        "bundle/one.tar": bundle(),
        "hub_answers/one": answers(
            ["README.md", "config.json", "model.safetensors"], hashlib.sha256(b"{}").hexdigest(), b"{}"
        ),
        "hub_answers/sharded": answers(
            ["config.json", "model.safetensors.index.json", "model-00001-of-00001.safetensors"], "shards-tag", shards
        ),
        "hub_answers/pickle": answers(["1_Pooling/config.json", "pytorch_model.bin"], "some-entity-tag", b"\x80\x02}."),
    }
    for name, content in made.items():
        (HERE / name).write_bytes(content)


main()
