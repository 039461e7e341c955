"""Python peers of `unprompt bench predict`: EfficientNet-Lite0 by onnxruntime, and a folder of pictures with it.

    python3 predict.py tower WEIGHTS INPUT BATCH THREADS
    python3 predict.py folder WEIGHTS PICTURES TEXTS MINILM THREADS

WEIGHTS is the model's safetensors. `tower` writes BATCH random pictures to INPUT (f32, channels last), prints one line
of JSON with the peers it has, and then answers each line on standard input, the name of a peer, with one line:
milliseconds of one forward pass and the first row of its logits. `folder` is what a Python user does to caption a
folder: decode, resize, classify in batches, average the embeddings of the labels by their probabilities, and take the
nearest text of TEXTS; the embeddings of labels and texts are computed by sentence-transformers once and kept beside
TEXTS. It prints one line of JSON with the number of pictures.
"""

import json
import os
import sys
import time
from pathlib import Path

INSTALL = "pip install onnxruntime onnx safetensors numpy pillow sentence-transformers==6.2.0"
SIZE = 224
BATCH = 32
LABELS = 1000
# As the reference package writes them: repeats, kernel, stride, expansion, input and output channels.
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]

# The packages print while they load. Standard output is for the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(record: dict) -> None:
    print(json.dumps(record), file=ANSWERS, flush=True)


def graph(weights: str) -> bytes:
    """The network as onnxruntime likes it best: batch normalisation folded in, padding inside the convolutions."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    tensors = load_file(weights)
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name))
        return name

    def node(kind, inputs, **attributes):
        output = f"{kind}.{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    bounds = [constant("zero", np.float32(0)), constant("six", np.float32(6))]

    def convolution(x, name, norm, stride=1, groups=1, rectified=True):
        weight = tensors[f"{name}.weight"].astype(np.float64)
        factor = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"].astype(np.float64) + 1e-3)
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * factor
        inputs = [x, constant(f"{name}.weight", weight * factor[:, None, None, None]), constant(f"{name}.bias", bias)]
        x = node("Conv", inputs, strides=[stride] * 2, group=groups, auto_pad="SAME_UPPER", kernel_shape=weight.shape[2:])
        return node("Clip", [x, *bounds]) if rectified else x

    x = convolution("pixels", "_conv_stem", "_bn0", 2)
    index = 0
    for repeats, _kernel, stride, expansion, inputs, outputs in STAGES:
        for _ in range(repeats):
            block, skipped = f"_blocks.{index}", x
            if expansion > 1:
                x = convolution(x, f"{block}._expand_conv", f"{block}._bn0")
            x = convolution(x, f"{block}._depthwise_conv", f"{block}._bn1", stride, inputs * expansion)
            x = convolution(x, f"{block}._project_conv", f"{block}._bn2", rectified=False)
            if stride == 1 and inputs == outputs:
                x = node("Add", [x, skipped])
            stride, inputs, index = 1, outputs, index + 1
    x = convolution(x, "_conv_head", "_bn1")
    x = node("Flatten", [node("GlobalAveragePool", [x])])
    final = [constant("_fc.weight", tensors["_fc.weight"]), constant("_fc.bias", tensors["_fc.bias"])]
    nodes.append(helper.make_node("Gemm", [x, *final], ["logits"], transB=1))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])
    whole = helper.make_graph(nodes, "efficientnet-lite0", [pixels], [logits], constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def session(weights: str, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph(weights), options, providers=["CPUExecutionProvider"])


def tower(weights: str, place: str, batch: int, threads: int) -> None:
    import numpy as np
    import onnxruntime

    loaded = session(weights, threads)
    pixels = np.random.default_rng(1).standard_normal((batch, SIZE, SIZE, 3)).astype(np.float32)
    pixels.tofile(place)
    feed = {"pixels": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))}
    answer({"peers": [f"onnxruntime {onnxruntime.__version__}"]})
    for _ in sys.stdin:
        started = time.perf_counter()
        logits = loaded.run(None, feed)[0]
        elapsed = (time.perf_counter() - started) * 1000
        answer({"ms": elapsed, "first": [float(value) for value in logits[0]]})


def folder(weights: str, pictures: str, texts: str, minilm: str, threads: int) -> None:
    import numpy as np
    import torch
    from PIL import Image
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    loaded = session(weights, threads)
    lines = Path(texts).read_text(encoding="utf-8").splitlines()
    kept = Path(texts).with_suffix(".npy")
    if not kept.exists():
        np.save(kept, SentenceTransformer(minilm, device="cpu").encode(lines, normalize_embeddings=True))
    embeddings = np.load(kept)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

    def pixels(path: Path):
        picture = Image.open(path).convert("RGB")
        width, height = picture.size
        short = min(width, height)
        width, height = SIZE * width // short, SIZE * height // short
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        values = np.asarray(picture.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
        return ((values / 255 - mean) / deviation).transpose(2, 0, 1)

    paths = sorted(path for path in Path(pictures).iterdir() if path.is_file())
    found = []
    for first in range(0, len(paths), BATCH):
        logits = loaded.run(None, {"pixels": np.stack([pixels(path) for path in paths[first : first + BATCH]])})[0]
        weighed = np.exp(logits - logits.max(axis=1, keepdims=True))
        query = (weighed / weighed.sum(axis=1, keepdims=True)) @ embeddings[:LABELS]
        nearest = (query @ embeddings.T).argmax(axis=1)
        found.extend({"prompt": lines[index], "embedding": embeddings[index].tolist()} for index in nearest)
    answer({"pictures": len(found)})


if __name__ == "__main__":
    mode, *rest, threads = sys.argv[1:]
    try:
        if mode == "tower":
            tower(rest[0], rest[1], int(rest[2]), int(threads))
        else:
            folder(*rest, int(threads))
    except ImportError as cause:
        answer({"missing": INSTALL, "reason": str(cause)})
