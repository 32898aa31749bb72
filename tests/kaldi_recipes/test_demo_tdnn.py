"""The demo's TDNN: its file formats against Kaldi, its graph, and what the shipped model hears."""

import json
import math
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import UsageError
from kaldi_recipes.demo_tdnn import graph, kaldi_format, train
from kaldi_recipes.demo_tdnn.corpus import (
    HELD_OUT_VARIANTS,
    MFCC_OPTIONS,
    draw_examples,
    draw_voice,
    frame_targets,
    mfcc_of,
    to_model_rate,
)
from kaldi_recipes.demo_tdnn.evaluate import (
    FOREIGN,
    Decoder,
    auc,
    held_out_english,
    held_out_foreign,
    word_errors,
)
from kaldi_recipes.demo_tdnn.lexicon import (
    PHONES,
    SILENCE,
    common_words,
    phone_of,
    pronunciations,
    word_probabilities,
)
from kaldi_recipes.demo_tdnn.network import CONTEXT, Tdnn, TrainConfig, pad_edges
from pipelines.demo.sentences import vocabulary
from pipelines.demo.speech import Voice, synthesise

pytest.importorskip("espeakng_loader")
vosk = pytest.importorskip("vosk")

SHIPPED = Path(__file__).resolve().parents[2] / "pipelines/demo/tdnn"
SHIPPED_FILES = {
    "README.md",
    "am/final.mdl",
    "conf/mfcc.conf",
    "conf/model.conf",
    "graph/HCLG.fst",
    "graph/words.txt",
    "graph/phones/word_boundary.int",
}


# --- Kaldi's binary formats, against files that Kaldi wrote ---------------------------------


@pytest.fixture(params=["tdnn_narrow", "tdnn_single_layer"])
def kaldi_model(request, shared_data) -> bytes:
    """A raw nnet3 model written by Kaldi's own nnet3-init."""
    return (shared_data / "kaldi/nnet3_tdnn" / request.param / "final.raw").read_bytes()


def _after(content: bytes, marker: str, start: int = 0) -> int:
    return content.index(marker.encode() + b" ", start) + len(marker) + 1


def test_matrices_and_vectors_are_written_as_kaldi_writes_them(kaldi_model):
    n_checked = 0
    position = kaldi_model.index(b"<LinearParams> ")
    while position >= 0:
        at = _after(kaldi_model, "<LinearParams>", position) + len("FM ")
        n_rows, n_columns = struct.unpack_from("<xixi", kaldi_model, at)
        values = np.frombuffer(kaldi_model, "<f4", n_rows * n_columns, at + 10)
        bias_at = _after(kaldi_model, "<BiasParams>", at) + len("FV ") + 5
        bias = np.frombuffer(kaldi_model, "<f4", n_rows, bias_at)
        expected = b"".join(
            (
                kaldi_format.token("<LinearParams>"),
                kaldi_format.matrix(values.reshape(n_rows, n_columns)),
                kaldi_format.token("<BiasParams>"),
                kaldi_format.vector(bias),
                kaldi_format.token("<RankIn>"),
            )
        )
        assert kaldi_model[position : position + len(expected)] == expected
        n_checked += 1
        position = kaldi_model.find(b"<LinearParams> ", at)
    assert n_checked in (1, 6)


def test_frame_of_the_network_is_as_kaldi_writes_it(kaldi_model):
    n_components = struct.unpack_from("<i", kaldi_model, _after(kaldi_model, "<NumComponents>") + 1)
    ours = kaldi_format.nnet([(np.ones((5, 3)), np.zeros(5))], [(0,)], 3)
    assert kaldi_model.startswith(kaldi_format.BINARY + ours[: len(b"<Nnet3> \ninput-node")])
    assert kaldi_model.endswith(ours[-len(b"</Nnet3> ") :])
    border = b" objective=linear\n\n" + kaldi_format.token("<NumComponents>")
    assert border in ours
    assert border + kaldi_format.int32(*n_components) + b"<ComponentName> tdnn1." in kaldi_model


def test_rectifiers_are_written_as_kaldi_writes_them(shared_data):
    model = (shared_data / "kaldi/nnet3_tdnn/tdnn_narrow/final.raw").read_bytes()
    for dim in (5, 8):
        ours = kaldi_format.nonlinearity(
            "RectifiedLinearComponent", dim, count=10.0, self_repair_scale=1e-5
        )
        assert ours in model


def test_splices_are_written_as_kaldis_own_script_writes_them(shared_data):
    config = (shared_data / "kaldi/nnet3_tdnn/tdnn_narrow/configs/final.config").read_text()
    assert f"input={kaldi_format.spliced('input', (-2, -1, 0, 1, 2))}\n" in config
    assert f"input={kaldi_format.spliced('tdnn2.batchnorm', (-3, 0, 3))}\n" in config
    assert f"input={kaldi_format.spliced('tdnn3.batchnorm', (0,))}\n" in config


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_compressed_matrices_are_read_back_by_kaldiio(seed, n_rows, n_columns, scale):
    kaldiio = pytest.importorskip("kaldiio.matio")
    values = np.random.default_rng(seed).normal(0, scale, (n_rows, n_columns)).astype(np.float32)
    read = kaldiio.read_kaldi(BytesIO(kaldi_format.BINARY + kaldi_format.compressed_matrix(values)))
    half_a_step = np.ptp(values) / 65535 / 2
    assert np.abs(read - values).max() <= half_a_step * 1.01 + 1e-6 * scale


# --- the exported network, run by Kaldi, against PyTorch ------------------------------------


def _random_model(seed: int) -> Tdnn:
    torch.manual_seed(seed)
    model = Tdnn(len(PHONES), 24)
    model.mean.copy_(torch.randn(40) * 10)
    model.std.copy_(torch.rand(40) * 10 + 5)
    for norm in model.norms:
        norm.running_mean.copy_(torch.rand(24))
        norm.running_var.copy_(torch.rand(24) + 0.2)
    return model.eval()


@pytest.mark.parametrize("phone", ["sil", "p", "aI@"])
def test_kaldi_computes_the_posteriors_that_pytorch_computes(tmp_path, phone):
    """A graph of one phone leaves the decoder one path: its score is the sum of posteriors."""
    model = _random_model(PHONES.index(phone))
    train.write_model(model, tmp_path, {**train.DECODING, "acoustic-scale": 1.0})
    index = PHONES.index(phone)
    fst = graph.Fst()
    last = fst.add_phone(fst.add_state(), graph.phone_id(index, "S"), word=1)
    fst.final_costs[last] = 0.0
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph/HCLG.fst").write_bytes(fst.to_bytes())
    (tmp_path / "graph/words.txt").write_text("<eps> 0\nword 1\n")
    decode = Decoder(tmp_path)
    speech = to_model_rate(synthesise("the old house near the river", Voice()))
    for n_samples in (8000, 8160, 8320, len(speech)):  # every remainder by 3 of the frames
        samples = np.rint(speech[:n_samples]).astype(np.float32)
        features = torch.from_numpy(pad_edges(mfcc_of(samples)))
        with torch.no_grad():
            expected = model(features[None])[0, :, index].mean().item()
        heard = decode(samples)
        assert heard.text == "word"
        assert heard.log_likelihood_per_frame == pytest.approx(expected, abs=2e-3)


def test_the_network_sees_what_context_says():
    model = _random_model(0)
    features = torch.randn(1, 2 * CONTEXT + 1, 40)
    with torch.no_grad():
        assert model(features).shape == (1, 1, len(PHONES))
        for frame in (0, 2 * CONTEXT):  # both ends matter
            changed = features.clone()
            changed[0, frame] += 1
            assert not torch.equal(model(changed), model(features))
    with pytest.raises(RuntimeError):
        model(features[:, 1:])


# --- the graph ------------------------------------------------------------------------------


def _paths(fst: graph.Fst, state: int, loop: int, phones=(), words=(), cost=0.0):
    """All ways from state to the loop state without stopping on the spot."""
    for transition, word, arc_cost, following in fst.arcs[state]:
        if following == state:
            continue
        step = () if transition == 0 else (transition // 2,)
        seen = (phones + step, words + ((word,) if word else ()), cost + arc_cost)
        if following == loop:
            yield seen
        else:
            yield from _paths(fst, following, loop, *seen)


@st.composite
def _lexicons(draw):
    said = st.lists(
        st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3
    )
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    return {name: draw(said) for name in names}, {name: draw(st.floats(0.1, 9.0)) for name in names}


@given(_lexicons())
@settings(max_examples=60, deadline=None)
def test_the_graph_holds_each_pronunciation_once_at_its_cost(lexicon_and_costs):
    lexicon, costs = lexicon_and_costs
    ids = {word: i for i, word in enumerate(sorted(lexicon), start=1)}
    fst = graph.word_loop(lexicon, costs, ids, silence_cost=2.0)
    expected = {((graph.SILENCE_PHONE,), ()): 2.0}
    for word, pronounced in lexicon.items():
        for phones in set(pronounced):
            positions = ["S"] if len(phones) == 1 else ["B", *"I" * (len(phones) - 2), "E"]
            path = tuple(graph.phone_id(p, at) for p, at in zip(phones, positions, strict=True))
            expected[path, (ids[word],)] = costs[word] + math.log(len(set(pronounced)))
    found = list(_paths(fst, fst.start, fst.start))
    assert len(found) == len(expected)
    assert {(phones, words): cost for phones, words, cost in found} == pytest.approx(expected)


def test_every_phone_state_can_last():
    fst = graph.word_loop({"a": [(1, 2)]}, {"a": 1.0}, {"a": 1}, silence_cost=1.0)
    for arcs in fst.arcs:
        for transition, _, _, following in arcs:
            if transition and transition % 2 == 0:  # entering: its self-loop must be there
                assert (transition - 1, 0, 0.0, following) in fst.arcs[following]


def test_openfst_header_counts_states_and_arcs():
    fst = graph.word_loop(
        {"a": [(1, 2)], "b": [(3,)]}, {"a": 1.0, "b": 1.0}, {"a": 1, "b": 2}, silence_cost=1.0
    )
    content = fst.to_bytes()
    magic, n = struct.unpack_from("<ii", content)
    assert magic == 2125659606 and content[8 : 8 + n] == b"vector"
    *_, start, n_states, n_arcs = struct.unpack_from("<iiQqqq", content, 8 + n + 4 + 8)
    assert (start, n_states, n_arcs) == (0, len(fst.arcs), sum(map(len, fst.arcs)))
    assert len(content) == 8 + n + 4 + 8 + 40 + 12 * n_states + 16 * n_arcs


# --- lexicon and targets --------------------------------------------------------------------


def test_probabilities_sum_to_one_and_cover_the_demo():
    probabilities = word_probabilities(common_words(), vocabulary())
    assert sum(probabilities.values()) == pytest.approx(1.0)
    assert set(vocabulary()) <= set(probabilities)
    assert probabilities["the"] == max(probabilities.values())


def test_words_are_pronounced_as_a_dictionary_says():
    lexicon = pronunciations(["cat", "a", "zip"], ["this is a cat"])
    assert ("k", "a", "t") in lexicon["cat"]
    assert {("eI",), ("@",)} <= lexicon["a"]  # alone, and weak inside a sentence
    assert lexicon["zip"] == {("z", "I", "p")}


def test_unknown_symbols_are_refused():
    assert phone_of("_:") == SILENCE and phone_of("'aI") == "aI" and phone_of(";") is None
    with pytest.raises(UsageError, match="no phone"):
        phone_of("q#")


def test_targets_follow_the_speech():
    speech = synthesise("she saw a house", Voice())
    targets = [PHONES[i] for i in frame_targets(speech, 200, lead_s=0.1)]
    runs = [p for i, p in enumerate(targets) if i == 0 or p != targets[i - 1]]
    assert runs == [SILENCE, "S", "i:", "s", "O:", "@", "h", "aU", "s", SILENCE]
    assert targets.index("S") == pytest.approx(10 + 100 * speech.phonemes[0][0] - 1.25, abs=1)


def test_held_out_voices_are_never_drawn_for_training():
    rng = np.random.default_rng(0)
    trained = {draw_voice(rng).name.partition("+")[2] for _ in range(500)}
    assert not trained & set(HELD_OUT_VARIANTS)
    held_out = {draw_voice(rng, held_out=True).name.partition("+")[2] for _ in range(100)}
    assert held_out == set(HELD_OUT_VARIANTS)


def test_training_is_the_same_from_the_same_seed():
    def trained(seed):
        examples = draw_examples(2, np.random.default_rng(seed))
        config = TrainConfig(width=8, n_epochs=1, batch_windows=2, window_outputs=16, seed=seed)
        return b"".join(
            w.tobytes() for w, _ in train.train(examples, len(PHONES), config).affines()
        )

    assert trained(3) == trained(3) != trained(4)


# --- evaluation's own measures ----------------------------------------------------------------


def test_word_errors_by_hand():
    assert word_errors(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert word_errors(["a", "b", "c"], ["a", "x", "c", "d"]) == 2
    assert word_errors([], ["a"]) == 1 and word_errors(["a"], []) == 1


def test_auc_by_hand():
    assert auc([2, 3], [0, 1]) == 1.0 and auc([0], [1]) == 0.0 and auc([1], [1]) == 0.5


# --- the shipped model ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decode() -> Decoder:
    return Decoder(SHIPPED)


def test_shipped_files_are_complete_and_small():
    files = {p.relative_to(SHIPPED).as_posix() for p in SHIPPED.rglob("*") if p.is_file()}
    assert files == SHIPPED_FILES
    assert sum((SHIPPED / name).stat().st_size for name in files) < 4_000_000
    assert (SHIPPED / "conf/mfcc.conf").read_text() == train.conf(MFCC_OPTIONS)
    words = {line.split()[0] for line in (SHIPPED / "graph/words.txt").read_text().splitlines()}
    assert set(vocabulary()) <= words


def test_shipped_model_reads_voices_it_never_met(decode):
    n_errors = n_words = 0
    for text, samples in held_out_english(12, np.random.default_rng(5)):
        n_errors += word_errors(text.split(), decode(samples).text.split())
        n_words += len(text.split())
    assert n_errors / n_words < 0.15, f"{n_errors} errors in {n_words} words"


def test_shipped_model_tells_english_from_other_languages(decode):
    rng = np.random.default_rng(6)
    english = [decode(s).log_likelihood_per_frame for _, s in held_out_english(12, rng)]
    for language in FOREIGN:
        clips = held_out_foreign(language, 10, rng)
        other = [decode(samples).log_likelihood_per_frame for samples in clips]
        assert auc(english, other) > 0.9, language


def test_shipped_score_does_not_change_from_run_to_run(decode):
    [(_, samples)] = held_out_english(1, np.random.default_rng(8))
    assert len({decode(samples).log_likelihood_per_frame for _ in range(3)}) == 1


def test_word_times_follow_the_speech(decode):
    """Kaldi's word borders, found by word_boundary.int, against espeak-ng's own clock."""
    text = "the captain may build your quiet museum under the tree"
    speech = synthesise(text, Voice("gmw/en-US+m3", rate_wpm=150))
    recogniser = vosk.KaldiRecognizer(decode._model, 16000)
    recogniser.SetWords(True)
    recogniser.AcceptWaveform(np.rint(to_model_rate(speech)).astype("<i2").tobytes())
    words = json.loads(recogniser.FinalResult())["result"]
    assert [word["word"] for word in words] == text.split()
    starts_s = {text[at : at + n]: start_s for start_s, at, n in speech.words}
    for word in words:
        if len(word["word"]) > 3:  # espeak-ng names the others' borders only in part
            assert word["start"] == pytest.approx(starts_s[word["word"]], abs=0.09)
            assert 0.1 < word["end"] - word["start"] < 1.0
            assert 0 < word["conf"] <= 1
