"""Python peers of `unprompt bench towers`: full-size random weights, one network at a time.

    python3 towers.py serve FOLDER CASE BATCH THREADS [TEXTS]
    python3 towers.py first FOLDER PICTURE THREADS

`serve` writes the network into FOLDER in its published layout (once) and its input beside it, prints one line of JSON
with the peers it has, and then answers each line on standard input, the name of a peer, with one line: milliseconds of
one forward pass and the first row of its output. `first` is what a Python user does from process start to the first
embedding of a picture with the ViT-L-14 in FOLDER.
"""

import json
import os
import sys
import time
from pathlib import Path

INSTALL = "pip install torch timm open_clip_torch safetensors pillow onnxruntime onnx onnxscript"


# The packages, native code among them, print while they load and export. Standard output is for the answers, so
# everything else that is written there goes to standard error.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(record: dict) -> None:
    print(json.dumps(record), file=ANSWERS, flush=True)


def vit_b_16(folder: Path, batch: int, _texts):
    """The paper's regressor: timm's ViT-B/16 with 384 outputs."""
    import timm
    import torch
    from safetensors.torch import load_file, save_file

    model = timm.create_model("vit_base_patch16_224", num_classes=384)
    place = folder / "vit_base_patch16_224"
    weights = place / "model.safetensors"
    if not weights.exists():
        place.mkdir(parents=True, exist_ok=True)
        torch.nn.init.normal_(model.head.weight, std=0.05)  # timm starts it at nearly nothing
        config = {"architecture": "vit_base_patch16_224", "num_classes": 384, "global_pool": "token"}
        (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(model.state_dict(), str(weights))
    model.load_state_dict(load_file(str(weights)))
    return model.eval(), pictures(batch)


def open_clip_l_14(folder: Path):
    import open_clip
    from safetensors.torch import load_file, save_file

    config = open_clip.get_model_config("ViT-L-14")
    model = open_clip.create_model("ViT-L-14")
    place = folder / "ViT-L-14"
    weights = place / "open_clip_model.safetensors"
    if not weights.exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}), encoding="utf-8")
        save_file(model.state_dict(), str(weights))
    model.load_state_dict(load_file(str(weights)))
    return model.eval()


def clip_image(folder: Path, batch: int, _texts):
    return open_clip_l_14(folder).visual, pictures(batch)


def clip_text(folder: Path, batch: int, texts):
    """All texts padded to 77 ids, as open_clip computes them."""
    import open_clip
    import torch

    clip = open_clip_l_14(folder)
    lines = Path(texts).read_text(encoding="utf-8").splitlines()[:batch]

    class Text(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.clip = clip

        def forward(self, ids):
            return self.clip.encode_text(ids)

    return Text().eval(), open_clip.get_tokenizer("ViT-L-14")(lines)


CASES = {"vit-b-16": vit_b_16, "clip-l-14-image": clip_image, "clip-l-14-text": clip_text}


def pictures(batch: int):
    import torch

    return torch.randn((batch, 3, 224, 224), generator=torch.Generator().manual_seed(1))


def session(model, example, threads: int, folder: Path):
    import onnxruntime
    import torch

    graph = folder / "graph.onnx"
    # PyTorch's fused attention has no ONNX operator; the timed passes of PyTorch use it all the same.
    torch.backends.mha.set_fastpath_enabled(False)
    torch.onnx.export(model, (example,), str(graph), dynamo=False, opset_version=17)
    torch.backends.mha.set_fastpath_enabled(True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    loaded = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    for path in folder.glob("graph.onnx*"):
        path.unlink()
    return loaded


def serve(folder: Path, case: str, batch: int, threads: int, texts=None) -> None:
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, example = CASES[case](folder, batch, texts)
    tensors = {"ids": example.float()} if case == "clip-l-14-text" else {"pixels": example.permute(0, 2, 3, 1).contiguous()}
    save_file(tensors, str(folder / "input.safetensors"))
    calls = {f"PyTorch {torch.__version__.split('+')[0]}": lambda: model(example).numpy()}
    with torch.inference_mode():
        if case != "clip-l-14-text":
            import onnxruntime

            onnx = session(model, example, threads, folder)
            feed = {onnx.get_inputs()[0].name: example.numpy()}
            calls[f"onnxruntime {onnxruntime.__version__}"] = lambda: onnx.run(None, feed)[0]
        answer({"peers": list(calls)})
        for line in sys.stdin:
            started = time.perf_counter()
            output = calls[line.rstrip("\n")]()
            elapsed = (time.perf_counter() - started) * 1000
            answer({"ms": elapsed, "first": [float(value) for value in output[0]]})


def first(folder: Path, picture: str, threads: int) -> None:
    import open_clip
    import torch
    from PIL import Image

    torch.set_num_threads(threads)
    weights = str(folder / "ViT-L-14" / "open_clip_model.safetensors")
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-L-14", pretrained=weights)
    model.eval()
    with torch.inference_mode():
        feature = model.encode_image(preprocess(Image.open(picture).convert("RGB"))[None], normalize=True)[0]
    answer({"embedding": feature.tolist()})


if __name__ == "__main__":
    mode, folder, *rest = sys.argv[1:]
    try:
        if mode == "serve":
            case, batch, threads, *texts = rest
            serve(Path(folder), case, int(batch), int(threads), *texts)
        else:
            first(Path(folder), rest[0], int(rest[1]))
    except ImportError as cause:
        answer({"missing": INSTALL, "reason": str(cause)})
