"""``python -m benchmarks.fuzz``; its processes have to find the functions of ``run`` by name."""

import sys

from benchmarks.fuzz.run import main

sys.exit(main(sys.argv[1:]))
