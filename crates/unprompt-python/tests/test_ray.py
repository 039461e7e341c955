"""`unprompt.ray`: no picture ends it, and on a cluster whose parts are killed the records are the command line's."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PICTURES, PROJECT
from PIL import Image

import unprompt
import unprompt.ray

# Pictures of the cluster's test, every hundredth of them broken.
COUNT = int(os.environ.get("UNPROMPT_RAY_PICTURES", "160"))
COLUMNS = ["id", "prompt", "source", "embedding", "expected_score", "metadata_error", "error"]

# The process that predicts, with pictures that it does not survive.
HOSTILE = """
import os, time, unprompt
from unprompt import _worker

real = unprompt.Predictor

class Predictor:
    def __init__(self, **settings):
        self.real = real(**settings)

    def predict(self, images, **options):
        for image in images:
            if image == b"die":
                os._exit(9)
            if image == b"hang":
                time.sleep(1000)
            if image == b"grow":
                kept = b"1" * (1 << 30)
                time.sleep(1000)
        return self.real.predict(images, **options)

unprompt.Predictor = Predictor
_worker.main()
"""


@pytest.fixture(scope="module")
def predictor() -> Iterator[unprompt.ray.Predictor]:
    found = unprompt.ray.Predictor(id="key", offline=True)
    yield found
    found.close()


def cat() -> bytes:
    return (PICTURES / "cat.png").read_bytes()


def test_records_are_those_of_predictor_in_every_format(predictor: unprompt.ray.Predictor) -> None:
    paths = [PICTURES / name for name in ("cat.png", "rocket.jpg", "coffee.webp")]
    contents = [path.read_bytes() for path in paths] + [b"no picture", None]
    keys = [f"{place}.png" for place in range(len(contents))]
    structs = [{"bytes": content, "path": None} for content in contents]
    expected = unprompt.Predictor(offline=True).predict([*contents[:4], b""])
    batches: list[Any] = [
        {"key": np.array(keys), "bytes": np.array(contents, object)},
        pa.table({"key": keys, "bytes": contents}),
        pa.table({"key": keys, "image": structs}),
        pd.DataFrame({"key": keys, "bytes": contents}),
        # The first column counts that the row has a value in.
        pd.DataFrame({"key": keys, "bytes": [None, *contents[1:]], "path": [str(path) for path in paths] + [None] * 2}),
    ]
    tables = [predictor(batch) for batch in batches]
    for table in tables:
        assert table.column_names == ["key", *COLUMNS[1:]]
        assert table["key"].to_pylist() == keys
        assert table.schema == tables[0].schema
        for row, found in zip(table.to_pylist(), expected):
            if not found.ok:
                assert row["prompt"] is None and np.isnan(row["embedding"]).all() and row["error"]
                continue
            assert (row["prompt"], row["source"], row["error"]) == (found.prompt, found.source, None)
            assert found.embedding is not None
            assert np.array(row["embedding"], np.float32).tobytes() == found.embedding.tobytes()
            assert row["expected_score"] == found.expected_score
    assert tables[0]["error"][3].as_py() == expected[3].error
    array = np.asarray(Image.open(PICTURES / "cat.png"))
    # Arrays, also as Ray has them in arrow's tables: of one shape, and of several.
    from ray.data.extensions import ArrowTensorArray, ArrowVariableShapedTensorArray

    stacked = np.stack([array, array])
    same = ArrowTensorArray.from_numpy(stacked)
    different = ArrowVariableShapedTensorArray.from_numpy([array[:-1], array])
    tables = [pa.table({"key": ["a", "b"], "image": column}) for column in (same, different)]
    for batch in ({"key": np.arange(2), "image": stacked}, *tables):
        table = predictor(batch)
        assert table["error"].to_pylist() == [None] * 2
        assert table["prompt"][1].as_py() == expected[0].prompt
    nothing = pa.table({"key": pa.array([], pa.string()), "bytes": pa.array([], pa.binary())})
    empty = predictor(nothing)
    assert empty.schema == predictor(pa.table({"key": ["a"], "bytes": [b""]})).schema and len(empty) == 0


def test_the_process_that_predicts_may_die(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unprompt._supervised._PROGRAM", HOSTILE)
    hostile = unprompt.ray.Predictor(offline=True, time_limit=2, memory_limit=512 << 20)
    contents = [cat(), b"die", cat(), b"hang", b"grow", b"no picture", cat()]
    table = hostile({"id": list(range(len(contents))), "bytes": contents})
    errors = table["error"].to_pylist()
    assert [error is None for error in errors] == [True, False, True, False, False, False, True]
    assert "exit code 9" in errors[1] and "gave nothing for 2 s" in errors[3]
    assert "MB of memory" in errors[4] or sys.platform != "linux"
    good = [table["prompt"][place].as_py() for place in (0, 2, 6)]
    assert good == ["a cat"] * 3
    with pytest.raises(unprompt.UnpromptError, match="died 20 times without a record"):
        hostile({"id": list(range(30)), "bytes": [b"die"] * 30})


def test_it_is_pickled_by_its_settings(predictor: unprompt.ray.Predictor) -> None:
    stored = pickle.dumps(predictor)
    assert len(stored) < 1000
    again = pickle.loads(stored)
    batch = {"key": ["a"], "bytes": [cat()]}
    assert again(batch).equals(predictor(batch))
    again.close()
    # The next batch starts the process anew.
    assert again(batch).equals(predictor(batch))
    again.close()


def test_what_concerns_all_is_raised(predictor: unprompt.ray.Predictor) -> None:
    with pytest.raises(KeyError, match="say which does by id="):
        predictor({"id": ["a"], "bytes": [b""]})
    with pytest.raises(KeyError, match="say which is one by picture="):
        predictor({"key": ["a"], "content": [b""]})
    with pytest.raises(unprompt.UnpromptError, match="no-such-preset"):
        unprompt.ray.Predictor("no-such-preset")
    for arguments in ({"batch_size": 0}, {"time_limit": 0}, {"memory_limit": 4}, {"id": "prompt"}, {"device": "tpu"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            unprompt.ray.Predictor(**arguments)  # type: ignore[arg-type]


def test_the_process_ends_with_its_parent() -> None:
    script = (
        "import os, unprompt.ray\n"
        "found = unprompt.ray.Predictor(offline=True)\n"
        "print(found._predictor._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    process = int(run.stdout)
    within(10, lambda: not Path(f"/proc/{process}").exists())


def within(seconds: float, happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def write_shards(folder: Path) -> list[Path]:
    """Small pictures in tar files, and captions beside them, which are no pictures."""
    folder.mkdir()
    shards = [folder / f"{number:03}.tar" for number in range(6)]
    noise = np.random.default_rng(1)
    for number, shard in enumerate(shards):
        with tarfile.open(shard, "w") as tar:
            for index in range(number, COUNT, len(shards)):
                file = io.BytesIO()
                Image.fromarray(noise.integers(0, 256, (24, 24, 3), np.uint8)).save(file, "PNG")
                picture = file.getvalue()
                # Cut off, so that its header is right.
                picture = picture[: len(picture) // 2] if index % 100 == 7 else picture
                for name, content in ((f"{index:06}.png", picture), (f"{index:06}.txt", b"a caption")):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return shards


def of_the_command_line(binary: Path, shards: list[Path], job: Path) -> pa.Table:
    command = [binary, "predict", *shards, "--job", job, "--quiet", "--offline"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert run.returncode == 2, run.stderr
    subprocess.run([binary, "merge", job, "--quiet"], check=True, timeout=600)
    return pq.read_table(job / "merged.parquet", columns=COLUMNS)


class Cluster:
    """A head and two nodes on this machine, each with processes of its own, and a driver that predicts."""

    def __init__(self, folder: Path, shards: list[Path]) -> None:
        from ray.cluster_utils import Cluster

        self.out = folder / "out"
        self.log = folder / "log"
        self.node = {"num_cpus": 2, "object_store_memory": 100 << 20}
        # A dead node is known as one soon; where it is not, work is given to it.
        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
        head = {**self.node, "num_cpus": 0, "include_dashboard": False, "_system_config": soon}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(**self.node) for _ in range(2)]
        options = ["--out", self.out, "--address", self.cluster.address, "--actors", "2", "--batch", "8"]
        self.command = [sys.executable, PROJECT / "examples" / "ray_predict.py", *shards, *options]
        self.driver: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
        return self.driver

    def done(self) -> int:
        """Rows that are done: their files and their checkpoints are there."""
        files = Path(f"{self.out}.done").glob("*.parquet")
        return sum(pq.read_metadata(path).num_rows for path in files if ".pending" not in path.name)

    def wait_for(self, more: int) -> None:
        """Waits for so many more rows, of a driver that has not come to its end."""
        wanted = self.done() + more
        deadline = time.monotonic() + 600
        while self.done() < wanted:
            assert self.driver is not None and self.driver.poll() is None, self.log.read_text()[-5000:]
            assert time.monotonic() < deadline, self.log.read_text()[-5000:]
            time.sleep(0.05)

    def actors(self) -> list[int]:
        """The processes of predictors, below the cluster's own nodes."""
        from ray._private import ray_constants

        raylets = {
            info.process.pid
            for node in self.cluster.list_all_nodes()
            for info in node.all_processes.get(ray_constants.PROCESS_TYPE_RAYLET, [])
        }
        found = []
        for process in Path("/proc").iterdir():
            try:
                title = (process / "cmdline").read_bytes()
                parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if title.startswith(b"ray::") and b"Predictor" in title and parent in raylets:
                found.append(int(process.name))
        return found

    def kill_node(self) -> None:
        """Kills a node's raylet, and what it has started dies with it; another node comes for it."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        self.nodes.append(self.cluster.add_node(**self.node))
        self.cluster.wait_for_nodes(timeout=60)

    def shutdown(self) -> None:
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()
        self.cluster.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_kills_change_no_record(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    shards = write_shards(tmp_path / "shards")
    expected = of_the_command_line(binary, shards, tmp_path / "job")
    cluster = Cluster(tmp_path, shards)
    try:
        driver = cluster.start()
        cluster.wait_for(1)
        os.kill(cluster.actors()[0], 9)
        cluster.wait_for(COUNT // 6)
        cluster.kill_node()
        cluster.wait_for(COUNT // 6)
        driver.kill()
        driver.wait()
        before = cluster.done()
        assert before < COUNT
        assert cluster.start().wait(3600) == 0, cluster.log.read_text()[-5000:]
    finally:
        cluster.shutdown()
    found = pq.read_table(cluster.out).sort_by("id")
    expected = expected.sort_by("id")
    assert len(found) == COUNT
    assert found["error"].null_count == expected["error"].null_count == COUNT - len(range(7, COUNT, 100))
    for column in COLUMNS:
        if column == "embedding":
            ours, theirs = (table[column].combine_chunks().flatten().to_numpy() for table in (found, expected))
            assert ours.tobytes() == theirs.tobytes()
        else:
            assert found[column].to_pylist() == expected[column].to_pylist(), column
