"""Whether a media file had another one opened, or the network."""

import errno
import os
import socket
from pathlib import Path

from benchmarks.bad_media.mutants import Elsewhere


class Trap:
    """A file and a port that nothing may touch, and what has touched them."""

    def __init__(self, folder: Path) -> None:
        self._fifo = folder / "elsewhere.wav"
        os.mkfifo(self._fifo)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.touched: list[str] = []
        port = self._server.getsockname()[1]
        self.elsewhere = Elsewhere(str(self._fifo), f"http://127.0.0.1:{port}/a.wav")

    def look(self) -> None:
        """Somebody waits for the file to be written to, or knocks at the port."""
        try:
            os.close(os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK))
            self.touched.append("the file")
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads
                raise
        try:
            self._server.accept()[0].close()
            self.touched.append("the port")
        except BlockingIOError:
            pass
