"""Before any test or doctest: a cache of word vectors that goes with the tests, and one thread.

The tests run in as many processes as there are cores: threads beside them only wait for each other.
"""

import atexit
import os
import shutil
import tempfile

os.environ["TRIMODAL_CACHE"] = tempfile.mkdtemp(prefix="trimodal-test-cache-")
atexit.register(shutil.rmtree, os.environ["TRIMODAL_CACHE"], ignore_errors=True)
os.environ.setdefault("OMP_NUM_THREADS", "1")
