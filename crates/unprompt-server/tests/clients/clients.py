"""Asks a real server by the clients that people have: curl, requests, openai, ollama, webuiapi,
huggingface_hub, and the Model Context Protocol's own; and by schemathesis, as its description says. Starts the program that is given, on the small models of the fixtures; the preset is the default.

    python clients.py target/debug/unprompt
"""

import asyncio
import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import huggingface_hub
import mcp
import numpy
import ollama
import openai
import requests
import webuiapi
from mcp.client.stdio import stdio_client
from PIL import Image, PngImagePlugin

ROOT = Path(__file__).resolve().parents[4]
PICTURES = ROOT / "examples/pictures"
FIXTURES = ROOT / "fixtures/models"
KEY = "a key of the tests".replace(" ", "-")
CAT = (PICTURES / "cat.png").read_bytes()
COFFEE = (PICTURES / "coffee.webp").read_bytes()
STORED = "a lighthouse at dusk"
INFOTEXT = f"{STORED}\nNegative prompt: people\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64"


def data_url(picture, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def with_prompt():
    """A picture that carries an infotext, as the web UI writes it."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", INFOTEXT)
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(out, "PNG", pnginfo=info)
    return out.getvalue()


class Server:
    """The program as a server, stopped in the end."""

    def __init__(self, program, *arguments):
        self.home = tempfile.TemporaryDirectory()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.home.name,
            "UNPROMPT_CACHE": self.home.name,
            "UNPROMPT_API_KEY": KEY,
        }
        self.process = subprocess.Popen(
            [program, "serve", "--offline", "--port", "0", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on (http://\S+)", line):
                self.url = found[1]
                break
        else:
            raise SystemExit("the server did not start:\n" + "".join(self.log))
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.reader.join()
        return code


def curl(server, *arguments):
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_curl(server):
    bearer = ["-H", f"Authorization: Bearer {KEY}"]
    url = f"{server.url}/v1/predict"
    cat, coffee = PICTURES / "cat.png", PICTURES / "coffee.webp"
    answer = json.loads(curl(server, *bearer, "-F", f"image=@{cat}", "-F", f"image=@{coffee}", url))
    assert [record["path"] for record in answer["records"]] == ["cat.png", "coffee.webp"]
    assert "cat" in answer["records"][0]["prompt"]
    answer = json.loads(curl(server, *bearer, "-H", "Content-Type: image/png", "--data-binary", f"@{cat}", url))
    assert "cat" in answer["records"][0]["prompt"]
    # A password, as browsers send it.
    assert b"ready" in curl(server, "-u", f"me:{KEY}", f"{server.url}/ready")
    metrics = curl(server, "-u", f"me:{KEY}", f"{server.url}/metrics").decode()
    assert 'unprompt_requests_total{route="/v1/predict",status="200"} 2' in metrics
    status = curl(server, "-o", os.devnull, "-w", "%{http_code}", "-F", f"image=@{cat}", url)
    assert status == b"401"
    # A body that is refused for its size, with `Expect: 100-continue` and without.
    large = Path(server.home.name) / "large"
    large.write_bytes(bytes(33 << 20))
    for expect in (["-H", "Expect: 100-continue"], ["-H", "Expect:"]):
        refused = ["-o", os.devnull, "-w", "%{http_code}", *bearer, *expect, "-F", f"image=@{large}", url]
        assert curl(server, *refused) == b"413", expect


def test_requests(server):
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {KEY}"
    image = base64.b64encode(CAT).decode()
    answer = session.post(f"{server.url}/v1/predict", json={"images": [image, {"name": "b.webp", "data": data_url(COFFEE, "webp")}]})
    first, second = answer.json()["records"]
    assert "cat" in first["prompt"] and second["path"] == "b.webp"
    assert abs(numpy.linalg.norm(first["embedding"]) - 1) < 1e-5
    # As scripts for AUTOMATIC1111 have it.
    answer = session.post(f"{server.url}/sdapi/v1/interrogate", json={"image": image, "model": "clip"})
    assert answer.status_code == 200 and answer.json()["caption"]
    answer = session.post(f"{server.url}/sdapi/v1/interrogate", json={"image": "aGVsbG8=", "model": "clip"})
    assert answer.status_code == 500 and answer.json()["detail"] == "Invalid encoded image"
    # As scripts for clip-interrogator-ext have it.
    models = session.get(f"{server.url}/interrogator/models").json()
    body = {"image": image, "clip_model_name": models[0], "mode": "fast"}
    assert session.post(f"{server.url}/interrogator/prompt", json=body).json()["prompt"]
    analysis = session.post(f"{server.url}/interrogator/analyze", json=body).json()
    scores = list(analysis["flavor"].values())
    assert scores == sorted(scores, reverse=True) and len(analysis) == 5
    answer = session.post(f"{server.url}/v1/score", json={"pairs": [{"prediction": "a cat", "truth": "a cat"}]})
    assert abs(answer.json()["mean_cosine"] - 1) < 1e-6


def test_openai(server):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    models = [model.id for model in client.models.list()]
    assert models[:2] == ["unprompt", "lite"]
    content = [
        {"type": "text", "text": "What is the prompt of this picture?"},
        {"type": "image_url", "image_url": {"url": data_url(CAT)}},
    ]
    messages = [{"role": "user", "content": content}]
    answer = client.chat.completions.create(model="unprompt", messages=messages)
    text = answer.choices[0].message.content
    assert "cat" in text
    stream = client.chat.completions.create(model="unprompt", messages=messages, stream=True)
    streamed = "".join(part.choices[0].delta.content or "" for part in stream)
    assert streamed == text
    captioner = models[2]
    assert client.chat.completions.create(model=captioner, messages=messages).choices[0].message.content
    whole = client.embeddings.create(model=models[-2], input=["a cat", "a dog"], encoding_format="float")
    packed = client.embeddings.create(model=models[-2], input=["a cat", "a dog"])
    for one, other in zip(whole.data, packed.data):
        assert numpy.array_equal(numpy.float32(one.embedding), numpy.float32(other.embedding))
    pictures = client.embeddings.create(model=models[-1], input=[data_url(CAT)])
    assert len(pictures.data[0].embedding) > 1
    for failing, expected in (
        (lambda: client.chat.completions.create(model="gpt-4o", messages=messages), openai.NotFoundError),
        (lambda: client.chat.completions.create(model="lite", messages=[]), openai.UnprocessableEntityError),
        (lambda: openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list(), openai.AuthenticationError),
    ):
        try:
            failing()
        except expected as error:
            assert error.message
        else:
            raise AssertionError(expected)


def test_ollama(server):
    client = ollama.Client(host=server.url, headers={"Authorization": f"Bearer {KEY}"})
    names = [model.model for model in client.list().models]
    assert names[0] == "unprompt:latest"
    answer = client.generate(model="unprompt", prompt="What is it?", images=[CAT])
    assert "cat" in answer.response and answer.done
    parts = list(client.generate(model="unprompt", prompt="What is it?", images=[CAT], stream=True))
    assert "".join(part.response for part in parts) == answer.response and parts[-1].done
    messages = [{"role": "user", "content": "What is it?", "images": [str(PICTURES / "cat.png")]}]
    assert client.chat(model="lite:latest", messages=messages).message.content == answer.response
    assert len(client.embed(input=["a cat", "a dog"], model=str(FIXTURES / "tiny-sbert")).embeddings) == 2
    try:
        client.generate(model="llava", images=[CAT])
    except ollama.ResponseError as error:
        assert error.status_code == 404
    else:
        raise AssertionError("a model that is not there")


def test_webuiapi(server):
    host, port = server.url.removeprefix("http://").split(":")
    api = webuiapi.WebUIApi(host=host, port=int(port), username="me", password=KEY)
    cat = Image.open(io.BytesIO(CAT))
    assert api.interrogate(cat).info
    stored = api.png_info(Image.open(io.BytesIO(with_prompt())))
    assert stored.info == INFOTEXT, stored.info
    assert stored.parameters["Prompt"] == STORED and stored.parameters["Steps"] == "20"
    assert api.get_progress()["progress"] == 0


def test_huggingface_hub(server):
    client = huggingface_hub.InferenceClient(model=f"{server.url}/embed", token=KEY)
    one = client.feature_extraction("a cat")
    answer = requests.post(f"{server.url}/embed", json={"inputs": "a cat"}, headers={"X-Api-Key": KEY})
    assert numpy.array_equal(one, numpy.float32(answer.json()))
    raw = client.feature_extraction("a cat", normalize=False)
    assert abs(numpy.linalg.norm(one) - 1) < 1e-5 < abs(numpy.linalg.norm(raw) - 1)
    client = huggingface_hub.InferenceClient(base_url=f"{server.url}/v1", token=KEY)
    content = [{"type": "image_url", "image_url": {"url": data_url(CAT)}}]
    chat = client.chat.completions.create(model="unprompt", messages=[{"role": "user", "content": content}])
    assert "cat" in chat.choices[0].message.content


def test_stored_prompts_are_marked(server):
    url = f"{server.url}/v1/predict"
    headers = {"Authorization": f"Bearer {KEY}"}
    record = requests.post(url, files={"image": ("a.png", with_prompt())}, headers=headers).json()["records"][0]
    assert (record["prompt"], record["source"]) == (STORED, "metadata")
    fields = {"metadata": "false"}
    record = requests.post(url, files={"image": ("a.png", with_prompt())}, data=fields, headers=headers).json()["records"][0]
    assert record["source"] == "predicted"


def test_schemathesis(server):
    """Requests made from /openapi.json, right and wrong ones: no 500, and every answer as it is described."""
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {KEY}"),
        # A picture that cannot be decoded is a 500 in these dialects' own words, see test_requests.
        *("--exclude-path-regex", "^/(sdapi|interrogator)/"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--generation-deterministic"),
        *("--max-failures", "5", "--request-timeout", "20", "--no-color"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=server.home.name)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]


def test_load(server):
    """Ten times more than there is room for: answers, refusals, and nothing else; the door stays open."""
    statuses, slowest, stop = [], [], threading.Event()

    def ask():
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {KEY}"
            while not stop.is_set():
                answer = session.post(f"{server.url}/v1/predict", files={"image": CAT})
                statuses.append(answer.status_code)

    def knock():
        while not stop.is_set():
            start = time.monotonic()
            assert requests.get(f"{server.url}/health").status_code == 200
            slowest.append(time.monotonic() - start)
            time.sleep(0.02)

    threads = [threading.Thread(target=ask) for _ in range(40)] + [threading.Thread(target=knock)]
    for thread in threads:
        thread.start()
    time.sleep(4)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 429} and statuses.count(200) > 0 and statuses.count(429) > 0
    print(
        f"  {len(statuses)} requests, {statuses.count(200)} answered, {statuses.count(429)} refused; "
        f"/health took {max(slowest) * 1e3:.0f} ms at most",
        flush=True,
    )


async def ask_tools(program, home):
    """What an agent does: lists the tools, and calls each. The client checks every result by its schema."""
    roots = Path(home) / "pictures"
    roots.mkdir()
    (roots / "stored.png").write_bytes(with_prompt())
    (roots / "cat.png").write_bytes(CAT)
    preset = Path(home) / "tiny.toml"
    preset.write_text(
        f"name = 'tiny'\nencoder = '{FIXTURES / 'tiny-sbert'}'\n"
        f"[[member]]\nname = 'words'\nkind = 'captioner'\nmodel = '{FIXTURES / 'tiny-blip'}'\nweight = 1.0\n"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": home, "UNPROMPT_CACHE": home}
    results = {}
    for name, more in (("lite", []), ("tiny", ["--preset", preset, "--captioner", FIXTURES / "tiny-blip"])):
        arguments = ["mcp", "--quiet", "--root", roots, *more]
        parameters = mcp.StdioServerParameters(command=program, args=[str(one) for one in arguments], env=environment)
        async with stdio_client(parameters) as (reader, writer), mcp.ClientSession(reader, writer) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert len(tools) == 5 and all(tool.annotations.read_only_hint for tool in tools)
            for call, tool, arguments in (
                ("predicted", "picture_prompt", {"path": "cat.png"}),
                ("stored", "picture_prompt", {"path": "stored.png"}),
                ("metadata", "picture_metadata", {"path": "stored.png"}),
                ("caption", "picture_caption", {"path": "cat.png"}),
                ("similar", "similar_prompts", {"path": "cat.png", "top": 4}),
                ("score", "score_prompt", {"path": "stored.png", "prompt": STORED}),
                ("outside", "picture_metadata", {"path": "/etc/passwd"}),
            ):
                result = await session.call_tool(tool, arguments)
                said = result.content[0].text
                results[name, call] = said if result.is_error else result.structured_content
    return results


def tools(program):
    with tempfile.TemporaryDirectory() as home:
        found = asyncio.run(ask_tools(program, home))
    assert "cat" in found["lite", "predicted"]["prompt"]
    assert (found["lite", "stored"]["prompt"], found["lite", "stored"]["source"]) == (STORED, "metadata")
    assert found["lite", "metadata"]["negative_prompt"] == "people"
    assert "--captioner" in found["lite", "caption"]
    assert len(found["lite", "similar"]["prompts"]) == 4
    assert found["tiny", "caption"]["caption"] == found["tiny", "predicted"]["prompt"]
    assert abs(found["tiny", "score"]["similarity"] - 1) < 1e-5
    for name in ("lite", "tiny"):
        assert "there is no such file" in found[name, "outside"]


def drain(program):
    """Told to stop under load: whatever was answered arrives, and nothing that was begun is dropped."""
    server = Server(program)
    answers, others, stop = [], [], threading.Event()

    def ask():
        headers = {"Authorization": f"Bearer {KEY}"}
        while not stop.is_set():
            try:
                answers.append(requests.post(f"{server.url}/v1/predict", files={"image": CAT}, headers=headers).status_code)
            except requests.exceptions.ConnectionError as error:
                others.append(error)
                stop.set()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    code = server.stop()
    for thread in threads:
        thread.join()
    told = sum('"route":"/v1/predict"' in line for line in server.log)
    assert code == 0, code
    assert set(answers) == {200} and len(answers) == told > 0, (len(answers), told)
    assert others, "nobody noticed"


def main():
    program = sys.argv[1]
    labels = tempfile.TemporaryDirectory()
    for table, lines in {
        "mediums": "a photo\na painting",
        "artists": "by a\nby b",
        "movements": "art\nnew art",
        "trendings": "here\nthere",
        "flavors": "red\nblue\ngreen\nwarm\ncold",
    }.items():
        (Path(labels.name) / f"{table}.txt").write_text(lines)
    server = Server(
        program,
        *("--max-requests", "4"),
        *("--captioner", FIXTURES / "tiny-blip"),
        *("--clip", FIXTURES / "tiny-clip", "--labels", labels.name),
        *("--image-encoder", FIXTURES / "tiny-vit-transformers"),
        *("--text-encoder", FIXTURES / "tiny-sbert"),
    )
    tests = [test for name, test in globals().items() if name.startswith("test_")]
    failed = 0
    for test in tests:
        start = time.monotonic()
        try:
            test(server)
            verdict = "ok"
        except Exception as error:
            failed += 1
            verdict = f"FAILED: {type(error).__name__}: {error}"
        print(f"{test.__name__}: {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    for test in (tools, drain):
        try:
            test(program)
            print(f"{test.__name__}: ok", flush=True)
        except Exception as error:
            failed += 1
            print(f"{test.__name__}: FAILED: {type(error).__name__}: {error}", flush=True)
    code = server.stop()
    if code != 0 or KEY in "".join(server.log):
        failed += 1
        print(f"the server ended with {code}, or its log has the key")
    print(f"clients: {len(tests) + 3 - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
