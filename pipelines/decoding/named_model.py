"""A model by name, such as ``vosk-model-small-en-us-0.15``: from vosk's cache, or fetched into it.

vosk's own downloader fetches and unpacks; here it does so in a folder beside the cache, which is
checked before it appears under its name. So the cache never holds half a model, and what an
archive puts elsewhere than in the model's folder is refused (``ZipFile.extractall`` keeps it from
climbing out). vosk's look-up by name is not used: it ends the program when a name is unknown.
"""

import re
import socket
import tempfile
from pathlib import Path
from zipfile import BadZipFile

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model import check_model_dir

TIMEOUT_S = 30.0  # without a byte; vosk's downloader has none of its own


def is_name(model: str) -> bool:
    """Whether that is a name of the Vosk project's, and no path."""
    return re.fullmatch(r"vosk-model-[\w.-]+", model) is not None


def named_model(name: str) -> Path:
    """The folder of a model by name. The network is asked only when no cache has it.

    The caches are ``VOSK_MODEL_PATH``, /usr/share/vosk and ~/.cache/vosk, as in vosk.

    Raises:
        ModelError: it is not there and cannot be fetched, or what was fetched is no model.
    """
    import vosk

    caches = [Path(folder) for folder in vosk.MODEL_DIRS if folder]
    for cache in caches:
        if (cache / name).is_dir():
            return cache / name
    cache = caches[0] if vosk.MODEL_DIRS[0] else caches[-1]
    try:
        return _fetched(name, cache)
    except (OSError, BadZipFile, EOFError) as error:
        raise ModelError(
            f"{name}: not in {cache}, and cannot be fetched ({error}); on a machine with internet "
            f"download {vosk.MODEL_PRE_URL}{name}.zip, unpack it in {cache}, or give --model DIR"
        ) from None


def _fetched(name: str, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as folder:
        _download(Path(folder) / name)
        unpacked = {path.name for path in Path(folder).iterdir()}
        if unpacked != {name}:
            raise ModelError(
                f"{name}: its archive holds {', '.join(sorted(unpacked)[:5])} instead of the "
                "model's folder alone; it is not to be trusted, give --model DIR"
            )
        check_model_dir(Path(folder) / name)
        try:
            (Path(folder) / name).rename(cache / name)
        except OSError:
            if not (cache / name).is_dir():  # else another process was faster
                raise
    return cache / name


def _download(folder: Path) -> None:
    """By vosk: the archive beside ``folder``, unpacked, and deleted."""
    import vosk

    class Downloader(vosk.Model):
        def __init__(self) -> None:
            """Loads nothing."""

        def __del__(self) -> None:
            """Frees nothing."""

    before_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        Downloader().download_model(folder)
    finally:
        socket.setdefaulttimeout(before_s)
