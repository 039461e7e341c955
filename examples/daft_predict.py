"""Prompts of pictures in parquet files, with columns `id` and `bytes`, as parquet files, with Daft.

    python daft_predict.py 'pictures/*.parquet' prompts
"""

import sys

import daft
from daft import DataType, Series

import unprompt.ray

TEXT, NUMBER = DataType.string(), DataType.float64()
EMBEDDING = DataType.fixed_size_list(DataType.float32(), 384)
NAMES = ["prompt", "source", "embedding", "expected_score", "metadata_error", "error"]
RECORD = DataType.struct(dict(zip(NAMES, [TEXT, TEXT, EMBEDDING, NUMBER, TEXT, TEXT])))


@daft.cls(max_concurrency=1)
class Predictor:
    def __init__(self) -> None:
        # It needs nothing of Ray, and no picture ends it.
        self.predictor = unprompt.ray.Predictor(offline=True)

    @daft.method.batch(return_dtype=RECORD, unnest=True, batch_size=64)
    def records(self, ids: Series, pictures: Series):
        found = self.predictor({"id": ids.to_pylist(), "bytes": pictures.to_pylist()})
        return found.select(NAMES).to_struct_array().combine_chunks()


if __name__ == "__main__":
    rows = daft.read_parquet(sys.argv[1])
    rows.select(rows["id"], Predictor().records(rows["id"], rows["bytes"])).write_parquet(sys.argv[2])
