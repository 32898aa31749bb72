"""Models by name: out of the cache, or by vosk's downloader from a server on this machine."""

import io
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import vosk

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.named_model import is_name, named_model
from pipelines.decoding.vosk_engine import VoskEngine

NAME = "vosk-model-small-tst-0.1"


class Server(ThreadingHTTPServer):
    """Serves ``archive`` under NAME.zip, and counts how often it was asked for anything."""

    def __init__(self) -> None:
        self.archive: bytes | None = None
        self.n_asked = 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.n_asked += 1
        archive = self.server.archive if self.path == f"/{NAME}.zip" else None
        if archive is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(archive)))
        self.end_headers()
        self.wfile.write(archive)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        monkeypatch.setattr(vosk, "MODEL_PRE_URL", f"http://127.0.0.1:{made.server_port}/")
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vosk, "MODEL_DIRS", [None, tmp_path / "none", tmp_path / "cache"])
    return tmp_path / "cache"


def archive(*, without: str = "", also: str = "") -> bytes:
    """The shipped model as the Vosk project packs its own."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as out:
        for path in sorted(DEMO_FOLDER.rglob("*")):
            relative = path.relative_to(DEMO_FOLDER).as_posix()
            if path.is_file() and relative != without:
                out.write(path, f"{NAME}/{relative}")
        if also:
            out.writestr(also, "malice")
    return content.getvalue()


def test_a_name_is_told_from_a_path() -> None:
    assert is_name("vosk-model-small-en-us-0.15") and is_name("vosk-model-en-us-0.22-lgraph")
    assert not any(map(is_name, ("demo", "models/vosk-model-x", "vosk-model-../x", "/vosk-model")))


def test_a_model_is_fetched_once_and_is_the_same_model(server: Server, cache: Path) -> None:
    server.archive = archive()
    engine = VoskEngine(NAME)
    assert engine.info.path == cache / NAME and server.n_asked == 1
    assert [path.name for path in cache.iterdir()] == [NAME]
    config = {**engine.config(), "model_name": "demo"}
    assert config == VoskEngine("demo").config()
    VoskEngine(NAME)
    assert server.n_asked == 1


def test_a_model_in_any_cache_asks_no_network(server: Server, cache: Path) -> None:
    shutil.copytree(DEMO_FOLDER, cache.parent / "none" / NAME)
    assert named_model(NAME) == cache.parent / "none" / NAME and server.n_asked == 0


def test_offline_one_line_says_what_to_fetch_from_where_and_where_to_put_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vosk, "MODEL_PRE_URL", "http://127.0.0.1:9/")  # nobody listens
    with pytest.raises(ModelError) as error:
        VoskEngine(NAME)
    message = str(error.value)
    assert f"http://127.0.0.1:9/{NAME}.zip" in message and str(cache) in message
    assert "--model DIR" in message and "\n" not in message
    assert list(cache.iterdir()) == []


def test_an_unknown_name_is_an_error_and_no_exit(server: Server, cache: Path) -> None:
    with pytest.raises(ModelError, match="404"):
        VoskEngine("vosk-model-of-nobody")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_half_an_archive_leaves_nothing(server: Server, cache: Path, share: float) -> None:
    whole = archive()
    server.archive = whole[: int(share * len(whole))]
    with pytest.raises(ModelError, match="cannot be fetched"):
        VoskEngine(NAME)
    assert list(cache.iterdir()) == []


def test_an_archive_of_half_a_model_is_refused(server: Server, cache: Path) -> None:
    server.archive = archive(without="graph/HCLG.fst")
    with pytest.raises(ModelError, match="no decoding graph"):
        VoskEngine(NAME)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", ["../../climbed", "/tmp/trimodal-climbed", "beside/file"])
def test_an_archive_that_reaches_out_is_refused(server: Server, cache: Path, name: str) -> None:
    server.archive = archive(also=name)
    with pytest.raises(ModelError, match="instead of the model's folder alone"):
        VoskEngine(NAME)
    assert list(cache.iterdir()) == [] and not Path("/tmp/trimodal-climbed").exists()
    assert not list(cache.parent.rglob("climbed"))


def test_a_model_half_unpacked_by_hand_is_found(cache: Path) -> None:
    shutil.copytree(DEMO_FOLDER, cache / NAME)
    (cache / NAME / "graph/words.txt").unlink()
    with pytest.raises(ModelError, match=r"no graph/words\.txt"):
        VoskEngine(NAME)
