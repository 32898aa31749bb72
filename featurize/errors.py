"""The errors trimodal raises on purpose.

Each message is one line that says what is wrong and what to do next. The command line prints
it without a traceback and exits with the class's ``exit_code``.
"""

from featurize.printable import printable

LONGEST_MESSAGE = 2000  # characters


class TrimodalError(Exception):
    """Base of every error raised on purpose.

    Its text is one line whatever it quotes: a file of strangers may hold line breaks, escape
    sequences of terminals, or a megabyte without a blank.
    """

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(TrimodalError):
    """A setting, argument or folder that the user has to correct."""

    exit_code = 2


class MediaError(TrimodalError):
    """A media file that cannot be decoded or lacks the stream asked for."""


class ModelError(TrimodalError):
    """An acoustic model directory or a weights file that cannot be used."""


class TextError(TrimodalError):
    """Word vectors or a transcript that cannot be read."""


class ShardError(TrimodalError):
    """A shard that cannot be opened, or whose content does not match its checksums."""


class StaleError(TrimodalError):
    """A finished result that was made with other settings or other input."""

    exit_code = 2


class CorpusError(TrimodalError):
    """A corpus folder whose layout or metadata cannot be read."""


class TrainError(TrimodalError):
    """Training or evaluation that cannot go on."""


class StoppedError(TrimodalError):
    """Training that was asked to stop and has saved where it stands; starting again goes on.

    The exit code is sysexits.h's EX_TEMPFAIL, "try again later", which a batch system can be told
    to requeue (SLURM: RequeueExit=75).
    """

    exit_code = 75


class StageError(TrimodalError):
    """A stage that lost too many utterances or a worker process."""


class LockedError(TrimodalError):
    """A folder, or shards of it, that another command is making at this moment."""


def one_line(text: str) -> str:
    """What cannot be printed is escaped, and what is too long loses its middle."""
    text = printable(text)
    if len(text) <= LONGEST_MESSAGE:
        return text
    half = LONGEST_MESSAGE // 2 - 20
    return f"{text[:half]} ... {len(text) - 2 * half} more ... {text[-half:]}"
