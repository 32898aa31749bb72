"""What Kaldi's decoders say in their logs about how well each utterance fits.

The forms are those of Kaldi 5.5: ``decoder/decoder-wrappers.cc`` (nnet3-latgen-faster and its
kin), ``online2bin/online2-wav-nnet3-latgen-faster.cc`` (with --verbose=2 alone) and
``latbin/lattice-best-path.cc`` (for lattices of any decoder).
"""

import re
from collections.abc import Iterator

# A number as C++ prints it; an infinite cost is no score.
_NUMBER = r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
_FRAMES = r"(\d{1,18})"
FORMS = {
    "log-like": re.compile(
        rf"Log-like per frame for utterance (\S+) is {_NUMBER} over {_FRAMES} frames\."
    ),
    "likelihood": re.compile(
        rf"Likelihood per frame for utterance (\S+) is {_NUMBER} over {_FRAMES} frames"
    ),
    "best-cost": re.compile(
        rf"For utterance (\S+), best cost \S+ \+ \S+ = {_NUMBER} over {_FRAMES} frames\."
    ),
}
# What the number is: the scales are those the program was run with.
DEFINITIONS = {
    "log-like": "(acoustic scale x log p(sound | best path) - graph cost) / decoded frames; "
    "natural logarithm, silence included; from the decoder's log",
    "likelihood": "(acoustic scale x log p(sound | best path) - graph cost) / decoded frames; "
    "natural logarithm, silence included; from the decoder's verbose log",
    "best-cost": "-(graph cost + acoustic cost) / decoded frames, with the scales that "
    "lattice-best-path was given; natural logarithm, silence included",
}


def scores(line: str) -> Iterator[tuple[str, str, float, int]]:
    """(form, utterance, log-likelihood a frame, frames) of a line of a log, if it has one."""
    for form, pattern in FORMS.items():
        if match := pattern.search(line):
            value, n_frames = float(match.group(2)), int(match.group(3))
            if form != "best-cost":
                yield form, match.group(1), value, n_frames
            elif n_frames:
                yield form, match.group(1), -value / n_frames, n_frames


def complaint_about(key: str, log: str) -> str | None:
    """The last warning in a log that names an utterance, without its marks; None without one."""
    warnings = re.findall(r"^(?:WARNING|ERROR) \(.*?\) (.*)$", log, re.MULTILINE)
    about = [text for text in warnings if key in re.split(r"[\s,:;.]+", text)]
    return re.sub(rf"\s*\b{re.escape(key)}\b", "", about[-1]).strip() if about else None
