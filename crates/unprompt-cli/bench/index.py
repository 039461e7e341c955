"""How fast faiss searches the rows of a prompt index exactly: one measurement as JSON.

    python3 index.py DIR --queries FILE --count N --threads N --repetitions N [--blas]

DIR is an index of `unprompt index build`; its half-precision CLIP rows become an IndexFlatIP in f32. FILE holds the
queries as f32. faiss computes a batch in one of two ways, by its own estimate; --blas makes it use the matrix product
of its BLAS for every batch, without it nothing is set. `missing` instead of numbers holds the command that installs it.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path


def measure(options: argparse.Namespace) -> dict:
    try:
        import faiss
        import numpy as np
    except ImportError:
        return {"missing": "pip install faiss-cpu numpy"}
    faiss.omp_set_num_threads(options.threads)
    if options.blas:
        faiss.cvar.distance_compute_blas_threshold = 1
    index = None
    for segment in sorted(Path(options.index).glob("segments/*.segment")):
        rows, width = np.fromfile(segment, "<u4", count=2, offset=8)
        halves = np.fromfile(segment, "<f2", count=rows * width, offset=64).reshape(rows, width)
        index = index or faiss.IndexFlatIP(int(width))
        index.add(halves.astype(np.float32))
    queries = np.fromfile(options.queries, "<f4").reshape(-1, index.d)
    similarities, neighbours = index.search(queries, options.count)
    seconds = []
    for _ in range(options.repetitions):
        started = time.perf_counter()
        index.search(queries, options.count)
        seconds.append(time.perf_counter() - started)
    return {
        "version": faiss.__version__,
        "median_ms": statistics.median(seconds) * 1000,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "neighbours": neighbours.tolist(),
        "similarities": similarities.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("--queries", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--blas", action="store_true")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
