"""Runs every benchmark.

python -m benchmarks [--quick] [--json] [--peer DIR] [--device cuda]
python -m benchmarks.store --quick        one of them
"""

from benchmarks.compression import compression
from benchmarks.encodings import encodings
from benchmarks.features import features
from benchmarks.store import store
from benchmarks.timing import run
from benchmarks.train import train

if __name__ == "__main__":
    run(features, store, compression, encodings, train)
