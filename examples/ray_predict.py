"""Prompts of pictures in tar shards or parquet files, as parquet files, on a Ray cluster.

    python ray_predict.py shards/*.tar --out prompts
    python ray_predict.py table.parquet --id key --picture image --out prompts

A row whose id is in --checkpoint is done: after whatever ended it, the same command goes on. Both folders have to be
seen by all nodes. Ids have to differ; those of pictures in tar files are FILE/MEMBER, as `unprompt predict` has them.
"""

import argparse
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.checkpoint import CheckpointConfig
from ray.data.datasource import FileBasedDatasource

import unprompt.ray

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jfif"}
# A picture of more bytes is refused, without being read.
LARGEST = 20 << 20
# Rows of a block, as they come out of a tar file.
ROWS = 64


class TarPictures(FileBasedDatasource):
    """A row for each picture of tar files: `id` and `bytes`, which are none where a picture is too long or cut off."""

    def _read_stream(self, file: Any, path: str) -> Iterator[pyarrow.Table]:
        rows: list[tuple[str, bytes | None]] = []
        try:
            with tarfile.open(fileobj=file, mode="r|*") as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in ENDINGS:
                        rows.append((f"{path}/{member.name}", None))
                        if member.size <= LARGEST and (content := tar.extractfile(member)):
                            rows[-1] = (rows[-1][0], content.read())
                    if len(rows) == ROWS:
                        yield _table(rows)
                        rows = []
        except (tarfile.TarError, EOFError):
            # The pictures before are worth their records, and this says that there was more.
            rows.append((path, None))
        if rows:
            yield _table(rows)


def _table(rows: list[tuple[str, bytes | None]]) -> pyarrow.Table:
    schema = pyarrow.schema([("id", pyarrow.string()), ("bytes", pyarrow.binary())])
    ids, contents = zip(*rows)
    return pyarrow.table([pyarrow.array(ids), pyarrow.array(contents, pyarrow.binary())], schema)


def read(paths: list[str], id: str, picture: str | None) -> Dataset:
    """The pictures of tar files, or of parquet files of which only the columns that are needed are read."""
    if all(path.endswith(".tar") for path in paths):
        return ray.data.read_datasource(TarPictures(paths))
    return ray.data.read_parquet(paths, columns=[id, picture] if picture else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="tar shards, or parquet files")
    parser.add_argument("--out", required=True, help="folder of the records")
    parser.add_argument("--checkpoint", help="folder of what is done [default: --out with `.done` behind it]")
    parser.add_argument("--id", default="id", help="column of parquet files that names a row")
    parser.add_argument("--picture", help="column of pictures [default: the usual names]")
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--actors", type=int, default=1, help="predictors; each loads the models once")
    parser.add_argument("--cpus", type=int, default=1, help="processors of each")
    parser.add_argument("--batch", type=int, default=64, help="rows that are given to one at a time")
    parser.add_argument("--address", help="of the cluster; `auto` for the one that is here [default: a new one]")
    arguments = parser.parse_args()

    # Reading, and the filter that knows what is done, need a processor each that no predictor holds: else all wait.
    own = None if arguments.address else arguments.actors * arguments.cpus + 2
    ray.init(address=arguments.address, num_cpus=own)
    DataContext.get_current().checkpoint_config = CheckpointConfig(
        id_column=arguments.id,
        checkpoint_path=str(Path(arguments.checkpoint or f"{arguments.out}.done").absolute()),
        # Without it a run that ended well is done anew when it is called again.
        delete_checkpoint_on_success=False,
    )
    read(arguments.paths, arguments.id, arguments.picture).map_batches(
        unprompt.ray.Predictor,
        fn_constructor_kwargs={
            "preset": arguments.preset,
            "id": arguments.id,
            "picture": arguments.picture,
            "offline": True,
        },
        compute=ActorPoolStrategy(size=arguments.actors),
        num_cpus=arguments.cpus,
        batch_size=arguments.batch,
        batch_format="pyarrow",
    ).write_parquet(str(Path(arguments.out).absolute()))


if __name__ == "__main__":
    main()
