"""What lies in a folder: whether each file is whole, and what it holds, for comparison."""

import hashlib
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.checkpoint import CURVES

TIMED = {"seconds", "utterances_per_s", "data_wait_share"}  # of a log line: differ from run to run
CACHE = "scores.cache"  # of select, which goes by its input's times, too
SHARD_ENDS = (".h5", ".tar", ".jsonl")


def final_files(folder: Path) -> Iterator[Path]:
    """All files under names that a user looks at; TensorBoard's curves are not kept whole."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        is_final = not any(p[0] == "." for p in parts) and parts[-1] != CACHE
        if path.is_file() and is_final and CURVES not in parts:
            yield path


def temporary_files(folder: Path) -> list[Path]:
    """Leftovers: what stands under a hidden name and is not of the locks."""
    found = (path for path in folder.rglob(".*") if path.name != ".locks")
    return [path for path in found if ".locks" not in path.relative_to(folder).parts]


def half_files(folder: Path) -> list[str]:
    """What cannot be read whole under its final name, and why."""
    problems = []
    for path in final_files(folder):
        try:
            read_whole(path)
        except Exception as error:  # anything a reader says of half a file
            problems.append(f"{path.relative_to(folder)}: {type(error).__name__}: {error}")
    return problems


def read_whole(path: Path) -> Any:
    """Reads a file to its end and checks what can be checked; raises where it is damaged."""
    match path.suffix:
        case ".h5":
            return _read_shard(path)
        case ".jsonl":
            return _read_lines(path)
        case ".json":
            return json.loads(path.read_text())
        case ".safetensors":
            from model.checkpoint import load_weights

            return load_weights(path)
        case ".pt":
            from model.checkpoint import load_checkpoint

            return load_checkpoint(path)
        case ".tar":
            with tarfile.open(path) as tar:
                return [tar.extractfile(member).read() for member in tar]  # type: ignore[union-attr]
        case ".npz":
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    raise ValueError("damaged")
        case ".png":
            from PIL import Image

            Image.open(path).load()
            if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                raise ValueError("has no end")
        case ".html":
            if not path.read_text().rstrip().endswith("</html>"):
                raise ValueError("has no end")
    return None


def digests(folder: Path) -> dict[str, str]:
    """Name -> digest of its content, but for times that were measured."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in final_files(folder)
    }


def differing_bytes(folder: Path, wanted: dict[str, str]) -> tuple[list[str], int]:
    """Names that are missing, new or other than wanted, and the bytes in them."""
    have = digests(folder)
    names = sorted(n for n in have.keys() | wanted.keys() if have.get(n) != wanted.get(n))
    paths = [folder / name for name in names]
    return names, sum(path.stat().st_size if path.exists() else 1 for path in paths)


def shards(folder: Path) -> set[str]:
    """Names of finished shards, which no fault may take away."""
    names = (path for path in final_files(folder) if path.name.startswith("shard-"))
    return {str(path.relative_to(folder)) for path in names if path.suffix in SHARD_ENDS}


def _read_shard(path: Path) -> None:
    from featurize.shards import ShardReader

    with ShardReader(path) as shard:
        if damaged := next(shard.damaged(), None):
            raise ValueError(f"damaged: {damaged}")


def _read_lines(path: Path) -> None:
    from pipelines.manifest import read_table

    if path.name in ("log.jsonl", "rejects.jsonl"):  # all others are tables
        for line in path.read_text().splitlines():
            json.loads(line)
    else:
        read_table(path)


def _content(path: Path) -> bytes:
    if path.name == "log.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return json.dumps(_untimed(lines), sort_keys=True).encode()
    if path.name in ("done.json", "export.json"):
        return json.dumps(_untimed(json.loads(path.read_text())), sort_keys=True).encode()
    if path.name == "checkpoint.pt":
        from model.checkpoint import load_checkpoint

        return b"".join(_flat(_untimed(load_checkpoint(path))))
    return path.read_bytes()


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _untimed(v) for k, v in value.items() if _title(k) not in TIMED}
    return [_untimed(one) for one in value] if isinstance(value, list) else value


def _title(key: Any) -> str:
    return str(key).removeprefix("step_")


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _flat(value[key])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one)
    elif hasattr(value, "numpy"):
        yield value.contiguous().numpy().tobytes()
    else:
        yield repr(value).encode()
