"""The unpickler that trusts nobody."""

from __future__ import annotations

import codecs
import collections
import itertools
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import DataError
from hpsearch.training.data.restricted_pickle import read_pickle

PLAIN = {
    "data": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "fortran": np.arange(6, dtype=">i4").reshape(2, 3).T,
    "big end": np.arange(4, dtype=">f8"),
    "names": np.array(["ship", "cat"]),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), dtype=np.float32),
    "scalar": np.int64(-7),
    "labels": [0, 1, 2**70],
    "nested": ({"deep": [b"raw \xff", "text \u00e9", 1.5, None, True]},),
    b"bytes key": "value",
}


@pytest.fixture
def pickled(tmp_path: Path):
    def write(value, protocol: int = 4) -> Path:
        path = tmp_path / "images.pkl"
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        return path

    return write


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_come_back_as_pickle_gives_them(pickled, protocol):
    read = read_pickle(pickled(PLAIN, protocol))
    assert list(read) == list(PLAIN)
    for key, value in PLAIN.items():
        if isinstance(value, np.ndarray):
            assert read[key].dtype == value.dtype.newbyteorder("=")
            assert np.array_equal(read[key], value)
        else:
            assert read[key] == value
            assert type(read[key]) in (type(value), int)  # a NumPy scalar becomes a number


def test_names_of_numpy_before_2_are_known(pickled):
    old = pickle.dumps(PLAIN["data"], 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in old
    assert np.array_equal(read_pickle(pickled(old)), PLAIN["data"])


class Hostile:
    """Asks for a call when it is loaded."""

    def __init__(self, function, *args) -> None:
        self._call = function, args

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    ("value", "named"),
    [
        pytest.param(Hostile(os.system, "touch hacked"), "posix.system", id="a shell command"),
        pytest.param(Hostile(eval, "1"), ".eval", id="eval"),
        pytest.param(Hostile(getattr, "", "join"), ".getattr", id="getattr"),
        pytest.param(collections.OrderedDict(a=1), "collections.OrderedDict", id="other dict"),
        pytest.param(Path("x"), "PosixPath", id="a path"),
        pytest.param({1, 2}, "set", id="a set"),
        pytest.param(bytearray(b"x"), "bytearray", id="a bytearray"),
        pytest.param(1j, ".complex", id="complex"),
        pytest.param(np.array([{}, None]), "an array of 'O8'", id="an array of objects"),
        pytest.param(np.zeros(2, dtype=[("a", "u1")]), "an array of 'V1'", id="records"),
        pytest.param(np.dtype("u1"), "a value of type dtype", id="a bare dtype"),
        pytest.param(np.ma.zeros(2), "numpy.ma", id="a masked array"),
        pytest.param(np.datetime64("2020-01-01"), "an array of 'M8'", id="a date"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_anything_else_is_refused_by_name(pickled, monkeypatch, tmp_path, value, named, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"may contain only arrays, lists.*images\.pkl contains"
    ) as caught:
        read_pickle(pickled(value, protocol))
    assert named in str(caught.value)
    assert "it was not loaded" in str(caught.value)
    assert not (tmp_path / "hacked").exists()


NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
U1 = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
EMPTY_ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85X\x01\x00\x00\x00b\x87R"


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        pytest.param(b"cbuiltins\n__import__\n.", "contains builtins.__import__", id="a name"),
        pytest.param(b"(ios\nsystem\n.", "contains os.system", id="INST"),
        pytest.param(b"\x80\x02\x82\x05.", "isn't a complete pickle", id="an extension code"),
        pytest.param(b"X\x01\x00\x00\x00xQ.", "an object outside the file", id="persistent id"),
        pytest.param(NDARRAY + b"}b.", "a change to numpy.ndarray", id="BUILD on a class"),
        pytest.param(RECONSTRUCT + b"}b.", "a change to a function", id="BUILD on a function"),
        pytest.param(NDARRAY + b"K\x05\x85R.", "isn't a complete pickle", id="ndarray() itself"),
        pytest.param(NDARRAY + b")\x81.", "isn't a complete pickle", id="NEWOBJ"),
        pytest.param(NDARRAY + b".", "a value of type name", id="a class as a value"),
        pytest.param(RECONSTRUCT + b".", "a value of type function", id="a function as a value"),
        pytest.param(
            RECONSTRUCT + U1 + b"K\x00\x85K\x00\x87R.", "a type of its own", id="a subclass"
        ),
        pytest.param(EMPTY_ARRAY + b".", "isn't a complete pickle", id="an array without contents"),
        pytest.param(
            EMPTY_ARRAY + b"(K\x01K\x09\x85" + U1 + b"\x89C\x02abtb.",
            "2 bytes don't fill",
            id="too few bytes",
        ),
        pytest.param(
            EMPTY_ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + U1 + b"\x89C\x02abtb.",
            "can't have the shape",
            id="a negative size",
        ),
        pytest.param(
            EMPTY_ARRAY + b"(K\x01K\x01\x85" + U1 + b"\x89](K\x01etb.",
            "an array of objects",
            id="a list for bytes",
        ),
        pytest.param(
            U1 + b"(K\x03X\x01\x00\x00\x00|(K\x01tNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
            "an array of records",
            id="a dtype with a structure",
        ),
        pytest.param(
            b"c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00zip\x86R.",
            "the codec 'zip'",
            id="another codec",
        ),
        pytest.param(
            b"c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.",
            "isn't a complete pickle",
            id="2 GiB of zeros",
        ),
        pytest.param(b"]q\x00h\x00a.", "nested at most 20 deep", id="a list inside itself"),
        pytest.param(b"(" * 25 + b"t" * 25 + b".", "nested at most 20 deep", id="deep nesting"),
    ],
)
def test_hand_made_opcodes_get_nowhere(pickled, opcodes, message):
    with pytest.raises(DataError, match=message):
        read_pickle(pickled(opcodes))


def test_shared_lists_are_read_once(pickled):
    lists = [[0]]
    for _ in range(18):
        lists.append([lists[-1]] * 100)  # 100**18 items, were each read anew
    assert len(read_pickle(pickled(lists[-1]))) == 100


def test_a_truncated_pickle_is_refused_wherever_it_ends(pickled):
    whole = pickle.dumps({"data": PLAIN["data"], "labels": [1, 2]}, 4)
    for end in range(len(whole)):
        with pytest.raises(DataError, match=r"images\.pkl"):
            read_pickle(pickled(whole[:end]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a data file is missing: .*nothing\.pkl"):
        read_pickle(tmp_path / "nothing.pkl")


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_with_permuted_axes_come_back_as_pickle_gives_them(pickled, axes, protocol):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(axes)
    whole = pickle.dumps({"data": array}, protocol)
    read = read_pickle(pickled(whole))["data"]
    assert np.array_equal(read, pickle.loads(whole)["data"])  # noqa: S301 - our own
    assert np.array_equal(read, array)


@pytest.mark.parametrize("axes", [(0, 0, 1), (0, 1), (0, 1, 3), "012", (True, 2, 0), None, 7])
def test_axes_that_order_nothing_are_refused(pickled, axes):
    array = np.zeros((2, 3, 4), np.uint8)
    function, (raw, dtype, *_) = array.transpose(2, 0, 1).__reduce_ex__(5)
    whole = pickle.dumps(Hostile(function, bytes(raw), dtype, (2, 3, 4), "K", axes), 4)
    if axes is None:
        assert read_pickle(pickled(whole)).shape == (2, 3, 4)
        return
    with pytest.raises(DataError, match="isn't an order of 3 dimensions"):
        read_pickle(pickled(whole))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x80\x04]r\xff\xff\xff\x7f.", id="a memo of 16 GB"),
        pytest.param(b"]p2000000000\n.", id="the same in text"),
        pytest.param(b"\x80\x04\x8e" + (2**44).to_bytes(8, "little") + b".", id="bytes"),
        pytest.param(b"\x80\x05\x96" + (2**34).to_bytes(8, "little") + b".", id="a bytearray"),
        pytest.param(b"\x80\x04\x8d" + (2**34).to_bytes(8, "little") + b".", id="a text"),
        pytest.param(b"\x80\x04\x95" + (2**34).to_bytes(8, "little") + b".", id="a frame"),
        pytest.param(b"\x80\x02\x8b\xff\xff\xff\x7f.", id="a number"),
        pytest.param(b"\x80\x02B\xff\xff\xff\x7f.", id="short bytes"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"(K\x01M\x01\x02I7\nh\x00p5\nclines\nof two\n"])
def test_sizes_beyond_the_file_are_refused_before_they_are_believed(pickled, raw, before):
    with pytest.raises(
        DataError, match=r"images\.pkl isn't a complete pickle \(Unpickl.*(too short|fit)"
    ):
        read_pickle(pickled(before + raw))


def test_one_text_cannot_be_copied_for_ever(pickled):
    class Again:
        def __init__(self, text):
            self._text = text

        def __reduce__(self):
            return codecs.encode, (self._text, "latin1")

    text = "x" * 1_000_000
    assert len(read_pickle(pickled([Again(text)] * 100))) == 100  # one of them, a hundred times
    with pytest.raises(DataError, match="contains objects that need far more memory than its size"):
        read_pickle(pickled([Again(text) for _ in range(100)]))


def test_one_content_cannot_fill_a_thousand_arrays(pickled):
    array = np.zeros(500_000, ">i2")
    function, arguments, state = array.__reduce__()

    class Again:
        def __reduce__(self):
            return function, arguments, state

    with pytest.raises(DataError, match="contains objects that need far more memory than its size"):
        read_pickle(pickled([Again() for _ in range(1000)]))


@pytest.mark.parametrize("name", ["an array of", "the codec", "have the shape"])
def test_messages_do_not_write_out_what_is_nested(pickled, name):
    nested: object = (1,)
    for _ in range(15):
        nested = [nested] * 100  # 10**30 numbers, were they written out
    function, arguments, state = np.zeros(3, np.uint8).__reduce__()

    class Shaped:
        def __reduce__(self):
            return function, arguments, (1, nested, *state[2:])

    asks = {
        "an array of": Hostile(np.dtype, nested),
        "the codec": Hostile(codecs.encode, "text", nested),
        "have the shape": Shaped(),
    }
    with pytest.raises(DataError, match=name) as caught:
        read_pickle(pickled(asks[name]))
    assert len(str(caught.value)) < 1000


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "x.pkl")
    with pytest.raises(DataError, match=r"x\.pkl isn't \(not a regular file, but a FIFO\)"):
        read_pickle(tmp_path / "x.pkl")


#: A pair that holds the same pair twice, and so on: forty opcodes, and a hash of 2**40 steps.
PAIRS = b")" + b"2\x86" * 40


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("raw", "named"),
    [
        pytest.param(b"\x80\x02}" + PAIRS + b"K\x01s.", "keys aren't texts", id="one entry"),
        pytest.param(b"\x80\x02}(" + PAIRS + b"K\x01u.", "keys aren't texts", id="entries"),
        pytest.param(b"(" + PAIRS + b"K\x01d.", "keys aren't texts", id="a whole dictionary"),
        pytest.param(b"\x80\x04\x8f(" + PAIRS + b"\x90.", "type set", id="a set"),
        pytest.param(b"\x80\x04(" + PAIRS + b"\x91.", "type set", id="a frozen set"),
        pytest.param(
            pickle.dumps({number * (2**61 - 1): 0 for number in range(300)}),
            "numbers of more than 64 bits",
            id="numbers that all have one hash",
        ),
    ],
)
def test_what_takes_for_ever_to_hash_is_refused_before(pickled, raw, named):
    with pytest.raises(DataError, match=f"contains .*{named}.*; it was not loaded"):
        read_pickle(pickled(raw))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_of_any_bytes_fit_into_what_their_file_accounts_for(pickled, protocol):
    """For Python 2 bytes are written as text, in which half of them take two."""
    pictures = [
        np.random.default_rng(seed).integers(0, 256, 300_000, dtype=np.uint8) for seed in range(12)
    ]
    read = read_pickle(pickled({"images": pictures}, protocol))
    assert all(map(np.array_equal, read["images"], pictures))
