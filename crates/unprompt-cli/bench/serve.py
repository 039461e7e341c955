"""The Python peer of `unprompt bench serve`: FastAPI and uvicorn around the same models in onnxruntime.

    python3 serve.py WEIGHTS EMBEDDINGS THREADS

WEIGHTS is EfficientNet-Lite0's safetensors; EMBEDDINGS has a JSON record with `text` and `embedding` for each label and
prompt, the labels first. Prints one line of JSON with its port once it listens, and serves until it is killed. It is what a
Python user writes: each request is decoded and classified in a thread of the framework's pool, and answered with the
text whose embedding is nearest to the labels' mean. predict.py, which has the network, lies beside it.
"""

import io
import json
import socket
import sys

INSTALL = "pip install fastapi uvicorn onnxruntime onnx safetensors numpy pillow"


def main(weights: str, embeddings: str, threads: int) -> None:
    import fastapi
    import numpy as np
    import onnxruntime
    import uvicorn
    from fastapi.concurrency import run_in_threadpool
    from PIL import Image
    from predict import LABELS, SIZE, answer, session

    loaded = session(weights, threads)
    with open(embeddings, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    texts = [record["text"] for record in records]
    rows = np.float32([record["embedding"] for record in records])
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
        logits = loaded.run(None, {"pixels": pixels[None]})[0][0]
        weighed = np.exp(logits - logits.max())
        query = (weighed / weighed.sum()) @ rows[:LABELS]
        nearest = int((rows @ query).argmax())
        return {"prompt": texts[nearest], "embedding": rows[nearest].tolist()}

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
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except ImportError as cause:
        print(json.dumps({"missing": INSTALL, "reason": str(cause)}), flush=True)
