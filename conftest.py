"""Before any test or doctest: word vectors are cached in a folder that goes with the tests."""

import atexit
import os
import shutil
import tempfile

os.environ["TRIMODAL_CACHE"] = tempfile.mkdtemp(prefix="trimodal-test-cache-")
atexit.register(shutil.rmtree, os.environ["TRIMODAL_CACHE"], ignore_errors=True)
