"""``python -m kaldi_recipes.librispeech_tdnn.unpack ARCHIVE OUT``: a model of kaldi-asr.org.

Only ``exp/`` and ``data/`` are taken, and nothing that would land elsewhere than below OUT, be it
by ``..``, an absolute path or a link (Python's ``tarfile.data_filter``).
"""

import argparse
import sys
import tarfile
from pathlib import Path, PurePosixPath

from featurize.errors import ModelError, TrimodalError

_FOLDERS = ("exp", "data")


def unpack(archive: Path, out: Path) -> int:
    """Unpacks into OUT; returns how many members. Done again, it ends with the same files.

    Raises:
        ModelError: the archive is damaged, holds none of these folders, or reaches out of OUT.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ModelError("unpacking safely needs Python 3.11.4 or later; give it as PYTHON=...")
    try:
        with tarfile.open(archive, "r:*") as tar:
            members = [member for member in tar if _is_wanted(member.name)]
            if not members:
                raise ModelError(f"{archive}: has neither exp/ nor data/; fetch the right archive")
            for member in members:
                tar.extract(member, out, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelError(f"{archive}: cannot be unpacked ({error}); fetch it again") from None
    return len(members)


def _is_wanted(name: str) -> bool:
    parts = [part for part in PurePosixPath(name).parts if part != "."]
    return bool(parts) and parts[0] in _FOLDERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        print(f"{arguments.archive}: {unpack(arguments.archive, arguments.out)} files and folders")
    except TrimodalError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
