"""A worker does not outlive the command that started it."""

import os
import threading
import time

LOOK_EVERY_S = 0.5


def end_with_parent(parent: int) -> None:
    """Ends this process soon after its ``parent``, however that ended, in the middle of anything.

    A command that is killed tells nobody. Its workers would go on with their shards, and then sit
    on their models for minutes; whoever starts the command again would share the machine with them.
    The number is told by the parent: it may be gone before its worker has started.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()
