"""Encodings against other implementations, and their loss against its bound."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from featurize.errors import ShardError
from featurize.shards import ENCODINGS, ShardReader
from featurize.shards.encodings import decode, encode, n_not_finite, stored_dtype

FLOATS = arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.integers(1, 5)),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(rows=arrays(np.float32, (3, 4), elements=st.floats(width=32)))
def test_bfloat16_rounds_as_pytorch_does(rows: np.ndarray) -> None:
    stored, scale = encode(rows, "bfloat16")
    theirs = torch.from_numpy(rows).to(torch.bfloat16)
    assert scale is None and stored.dtype == np.uint16
    np.testing.assert_array_equal(decode(stored, None, "bfloat16"), theirs.float().numpy())
    assert n_not_finite((stored, None), "bfloat16") == int((~torch.isfinite(theirs)).sum())


@given(rows=FLOATS)
def test_int8_is_off_by_at_most_half_a_level(rows: np.ndarray) -> None:
    stored, scale = encode(rows, "int8_scaled")
    assert scale is not None and stored.dtype == np.int8 and scale.shape == (len(rows),)
    back = decode(stored, scale, "int8_scaled")
    assert back.dtype == np.float32 and back.shape == rows.shape
    largest = np.abs(rows).max(axis=1, initial=0)[:, None].astype(np.float64)
    assert (
        np.abs(back - rows) <= largest / 254 * 1.001 + 1e-43
    ).all()  # a subnormal scale is rough


@given(rows=FLOATS)
@pytest.mark.parametrize(("encoding", "bound"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precisions_lose_at_most_half_a_last_place(
    rows: np.ndarray, encoding: str, bound: float
) -> None:
    stored, _ = encode(rows, encoding)
    back = decode(stored, None, encoding).astype(np.float64)
    assert (np.abs(back - rows) <= np.abs(rows) * bound + 2**-25).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_not_finite_is_seen(encoding: str, bad: float) -> None:
    rows = np.ones((4, 3), np.float32)
    assert n_not_finite(encode(rows, encoding), encoding) == 0
    rows[2, 1] = bad
    assert n_not_finite(encode(rows, encoding), encoding) == 1


@pytest.mark.parametrize("name", ["object", "U4", "S4", "complex64", ">f4", "datetime64[s]", "no"])
def test_what_is_no_encoding(name: str) -> None:
    with pytest.raises(ValueError, match="no such encoding"):
        stored_dtype(name)


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_through_a_file(tmp_path, open_writer, encoding: str, compression: str) -> None:
    """What is read is the decoded form of what was stored, and a flipped scale is found."""
    path = tmp_path / "s.h5"
    rows = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    fields = {"features": ((5,), encoding)}
    with open_writer(path, fields=fields, compression=compression) as writer:
        writer.add("a", {"features": rows[:4]})
        writer.add("b", {"features": rows[4:]})
        with pytest.raises(ShardError, match="not finite"):
            writer.add("c", {"features": np.full((1, 5), np.inf)})
    stored, scale = encode(rows, encoding)
    with ShardReader(path) as shard:
        read = np.concatenate([shard[0]["features"], shard[1]["features"]])
        np.testing.assert_array_equal(read, decode(stored, scale, encoding))
        assert not shard[0]["features"].flags.writeable
    if scale is not None and compression == "none":
        raw = bytearray(path.read_bytes())
        raw[raw.find(scale.tobytes()) + 2] ^= 1
        path.write_bytes(raw)
        with ShardReader(path) as shard:
            assert list(shard.damaged()) == ["a"]
