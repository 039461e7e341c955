"""The Python peer of `unprompt bench serve`: the preset `lite` in onnxruntime and numpy behind FastAPI and uvicorn.

    python3 serve.py ASSETS THREADS

ASSETS is a folder with what the program carries: tower.safetensors, head.safetensors, prompts.safetensors and
labels.safetensors. Prints one line of JSON with its port once it listens, and serves until it is killed. It is what a
Python user writes: each request is decoded and predicted in a thread of the framework's pool, with the same steps as the
preset. predict.py, which has the network, lies beside it.
"""

import io
import json
import socket
import sys
import zlib
from pathlib import Path

INSTALL = "pip install fastapi uvicorn onnxruntime onnx safetensors numpy pillow"
BLOCK = 256


def unit(values):
    import numpy as np

    return values / np.linalg.norm(values)


def softmax(values):
    import numpy as np

    weighed = np.exp(values - values.max())
    return weighed / weighed.sum()


class List:
    """Texts with their embeddings, of single precision in memory."""

    def __init__(self, path: Path):
        import numpy as np
        from safetensors.numpy import load_file

        tensors = load_file(path)
        self.rows = tensors["values"].astype(np.float32) * tensors["scales"][:, None]
        self.centred, self.mean = tensors["centred"], tensors["mean"]
        self.printable = tensors["printable"] != 0
        self.segment_means = tensors["segment_means"]
        packed, ends = tensors["blocks"].tobytes(), [0, *tensors["block_ends"].tolist()]
        blocks = [zlib.decompress(packed[start:end], -15) for start, end in zip(ends, ends[1:])]
        self.texts = [text for block in blocks for text in block.decode().split("\n")[:BLOCK]]

    def retrieved(self, query, temperature: float):
        similarities = (self.rows @ query - self.mean @ query) * self.centred
        return softmax(similarities / temperature) @ self.rows - self.mean


def tower(weights: Path, threads: int):
    """The network, which says its pooled features beside the logits."""
    import onnx
    import onnxruntime
    from predict import graph

    model = onnx.load_from_string(graph(str(weights)))
    pooled = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool").output[0]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(pooled))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main(assets: Path, threads: int) -> None:
    import fastapi
    import numpy as np
    import onnxruntime
    import uvicorn
    from fastapi.concurrency import run_in_threadpool
    from PIL import Image
    from predict import SIZE, answer
    from safetensors.numpy import load_file

    loaded = tower(assets / "tower.safetensors", threads)
    prompts, labels = List(assets / "prompts.safetensors"), List(assets / "labels.safetensors")
    head = {name: tensor.astype(np.float32) for name, tensor in load_file(assets / "head.safetensors").items()}
    prior = unit(sum(unit(mean) for mean in [*prompts.segment_means, head["target_mean"]]))
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

    def predict(body: bytes) -> dict:
        picture = Image.open(io.BytesIO(body)).convert("RGB")
        width, height = picture.size
        short = min(width, height)
        width, height = SIZE * width // short, SIZE * height // short
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        values = np.asarray(picture.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
        pixels = ((values / 255 - mean) / deviation).transpose(2, 0, 1)
        logits, features = loaded.run(None, {"pixels": pixels[None]})
        eye = head["weight"] @ features.reshape(-1) + head["bias"]
        named = softmax(logits[0]) @ labels.rows - labels.mean
        blend = prior + 0.3 * eye + 1.3 * prompts.retrieved(unit(eye), 0.05)
        blend = unit(blend + 0.3 * named + 0.8 * prompts.retrieved(named, 0.06))
        scores = prompts.rows @ (blend + 0.6 * named)
        nearest = int(np.where(prompts.printable, scores, -np.inf).argmax())
        return {"prompt": prompts.texts[nearest], "embedding": blend.tolist()}

    app = fastapi.FastAPI()

    @app.post("/v1/predict")
    async def endpoint(request: fastapi.Request):
        return await run_in_threadpool(predict, await request.body())

    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    versions = f"uvicorn {uvicorn.__version__}, onnxruntime {onnxruntime.__version__}"
    answer({"port": listener.getsockname()[1], "peer": versions})
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]))
    except ImportError as cause:
        print(json.dumps({"missing": INSTALL, "reason": str(cause)}), flush=True)
