"""The recipe for the LibriSpeech TDNN, from archives to a model directory, with Kaldi's own graph.

The archives are laid out as the published ones, but hold the demo's network and a language of the
demo's words, of which utils/mkgraph.sh makes the graph.
"""

import math
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from kaldi_recipes.demo_tdnn.evaluate import word_errors
from kaldi_recipes.demo_tdnn.graph import SILENCE_PHONE, pdf_of_phone, phone_id, word_boundaries
from kaldi_recipes.demo_tdnn.lexicon import PHONES, pronunciations
from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.vosk_decoder import VoskDecoder
from pipelines.demo.sentences import vocabulary

UNKNOWN = "<UNK>"
TDNN, LANG = "exp/chain_cleaned/tdnn_1d_sp", "data/lang_test_tgsmall"


def fst_program(name: str, kaldi_root: Path) -> str:
    path = f"{kaldi_root}/tools/openfst/bin{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"this Kaldi has no {name}")
    return found


def compiled(lines: list[str], out: Path, sort: str, kaldi_root: Path) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    made = subprocess.run(
        [fst_program("fstcompile", kaldi_root)], input=text, capture_output=True, check=True
    )
    arcsort = [fst_program("fstarcsort", kaldi_root), f"--sort_type={sort}"]
    done = subprocess.run(arcsort, input=made.stdout, capture_output=True, check=True)
    out.write_bytes(done.stdout)


def write_lang(lang: Path, kaldi_root: Path) -> None:
    """Lexicon and unigram over the demo's words; each pronunciation ends in a symbol of its own."""
    words = sorted(vocabulary())
    said = [
        (word, [PHONES.index(phone) for phone in phones])
        for word, variants in sorted(pronunciations(words, []).items())
        for phones in sorted(variants)
    ]
    said.append((UNKNOWN, [PHONES.index("h")]))
    numbers = {word: number for number, word in enumerate(["<eps>", UNKNOWN, *words])}
    n_phones = len(pdf_of_phone(len(PHONES)))
    first_disambig = n_phones + 1
    silence_disambig = first_disambig + len(said)
    # States: 0 between words, 1 behind a silence, 2 before one.
    lexicon = [f"0 1 {SILENCE_PHONE} 0 0.7", f"1 0 {silence_disambig} 0", f"2 1 {SILENCE_PHONE} 0"]
    state = 3
    for number, (word, phones) in enumerate(said):
        before = 0
        for i, index in enumerate(phones):
            is_last = i == len(phones) - 1
            position = ("S" if is_last else "B") if i == 0 else ("E" if is_last else "I")
            label = numbers[word] if i == 0 else 0
            lexicon.append(f"{before} {state} {phone_id(index, position)} {label}")
            before, state = state, state + 1
        lexicon += [f"{before} {to} {first_disambig + number} 0 0.7" for to in (0, 2)]
    cost = math.log(len(words) + 1)
    grammar = [f"0 0 {number} {number} {cost}" for word, number in numbers.items() if number]
    (lang / "phones").mkdir(parents=True)
    compiled([*lexicon, "0"], lang / "L_disambig.fst", "olabel", kaldi_root)
    compiled([*grammar, "0"], lang / "G.fst", "ilabel", kaldi_root)
    table = "".join(f"{word} {number}\n" for word, number in numbers.items())
    (lang / "words.txt").write_text(table)
    names = [
        "<eps>",
        *(f"p{i}" for i in range(1, n_phones + 1)),
        *(f"#{i}" for i in range(len(said) + 1)),
    ]
    (lang / "phones.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
    disambig = "".join(f"{i}\n" for i in range(first_disambig, silence_disambig + 1))
    (lang / "phones/disambig.int").write_text(disambig)
    (lang / "phones/silence.csl").write_text(f"{SILENCE_PHONE}\n")
    (lang / "phones/word_boundary.int").write_text(word_boundaries(len(PHONES)))
    (lang / "oov.int").write_text(f"{numbers[UNKNOWN]}\n")


def publish(site: Path, kaldi_root: Path) -> None:
    """The three archives of model 13, with what was said above."""
    tdnn, extractor = site / TDNN, site / "exp/nnet3_cleaned/extractor"
    tdnn.mkdir(parents=True)
    extractor.mkdir(parents=True)
    shutil.copy(DEMO_FOLDER / "am/final.mdl", tdnn)
    (tdnn / "frame_subsampling_factor").write_text("3\n")
    pdfs = " ".join(f"CE {pdf}" for pdf in pdf_of_phone(len(PHONES)))
    n = len(pdf_of_phone(len(PHONES))) + 1
    (tdnn / "tree").write_text(
        f"ContextDependency 1 0 ToPdf TE 0 {n} ( NULL {pdfs} ) EndContextDependency \n"
    )
    write_lang(site / LANG, kaldi_root)
    parts = {"chain": tdnn, "extractor": extractor, "lm": site / LANG}
    for kind, folder in parts.items():
        with tarfile.open(site / f"0013_librispeech_v1_{kind}.tar.gz", "w:gz") as tar:
            tar.add(folder, folder.relative_to(site))


@pytest.mark.slow
def test_published_archives_become_a_model_directory(kaldi_root, run_recipe, tmp_path, speech):
    publish(tmp_path / "site", kaldi_root)
    out = tmp_path / "out"
    words = ("--url", f"file://{tmp_path}/site", out)
    fetched = run_recipe("librispeech_tdnn", "--stop-stage", 2, *words, KALDI_ROOT=str(kaldi_root))
    if "not below KALDI_ROOT" in fetched.stderr:
        pytest.skip("this Kaldi has no programs that make graphs")
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    done = run_recipe("librispeech_tdnn", *words, KALDI_ROOT=str(kaldi_root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("done before") == 2
    theirs, ours = VoskDecoder(out / "model"), VoskDecoder(DEMO_FOLDER)
    n_errors = n_words = 0
    for samples in [*speech.values()][:6]:  # those in English
        expected = ours.decode(samples.astype("float32") / 32768).text.split()
        heard = theirs.decode(samples.astype("float32") / 32768).text.split()
        n_errors += word_errors(expected, heard)
        n_words += len(expected)
        assert UNKNOWN not in heard
    assert n_words > 50 and n_errors / n_words < 0.1
