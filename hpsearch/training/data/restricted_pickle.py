"""Pickles from elsewhere, read without trusting them.

Image sets come as pickles, and a pickle can call any function. Here it can only use the few names
that arrays need. Even these never reach NumPy's own unpickling code, which trusts flags and object
pointers in the file: they build plain records, which are checked before they become arrays.
"""

from __future__ import annotations

import math
import mmap
import pickle
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.regular_file import open_regular
from hpsearch.training.data.pickle_structure import check_structure

_SCALARS = (str, bytes, bool, int, float, type(None))
#: bool, integers, floats; strings of fixed length.
_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU][0-9]{1,4})")
#: Deeper nesting than any image set has; a hostile file could exhaust the stack otherwise.
_DEEPEST = 20
#: More dimensions than any array of images has.
_MOST_DIMENSIONS = 16
#: Constant part of the budget in bytes, for small files: names of types, for instance, count twice.
_SLACK = 2**20

#: Any number of larger integers can have the same hash, which makes a dictionary of them too slow.
_LARGEST_KEY = 2**64

#: The unpickler's function for each opcode.
_USUAL: dict[int, Any] = pickle._Unpickler.dispatch

_REPR = reprlib.Repr()
_REPR.maxlevel = 2


def shortened(value: Any) -> str:
    """Return a short ``repr(value)`` for a message, however large ``value`` is."""
    return _REPR.repr(value)


def read_pickle(path: Path) -> Any:
    """Return the contents of a pickle: dicts, lists, tuples, strings, bytes, numbers and arrays.

    Strings of Python 2 become ``str``, byte by byte (latin-1). Arrays are read-only.

    Args:
        path: The file.

    Raises:
        DataError: If the file is missing, damaged, not a regular file, contains anything else, or
            would need far more memory than its size. The message names it.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    check_structure(content)
            # Bytes for Python 2 are stored as text, 1.5 times as many in the file and built twice
            budget = _Budget(2 * size + _SLACK)
            return _Plain(path, budget)(_Reader(file, budget).load())
    except FileNotFoundError as error:
        raise DataError(f"a data file is missing: {path}") from error
    except OSError as error:
        raise DataError(
            f"every data file must be readable, but {path} isn't ({error.strerror or error})"
        ) from error
    except _Refused as refused:
        raise DataError(
            "a pickle of images may contain only arrays, lists, dictionaries, strings and numbers, "
            f"but {path} contains {refused}; it was not loaded"
        ) from None
    except DataError:
        raise
    except Exception as error:
        # A damaged pickle raises nearly anything: EOFError, KeyError, UnicodeDecodeError, ...
        raise DataError(
            f"{path} isn't a complete pickle ({type(error).__name__}: {error}); unpack or download "
            "it again"
        ) from error


class _Refused(Exception):
    """A pickle of images may not contain this; the message is its name."""


class _Budget:
    """How many bytes may still be built: in total, about as many as the file has.

    A file can refer to one text or array a million times, and each reference could make a copy.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _Refused("objects that need far more memory than its size")


class _Reader(pickle._Unpickler):
    """The unpickler that is written in Python, where every key can be checked before it is hashed.

    The time to hash nested tuples, each of which contains the next one twice, grows exponentially.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_USUAL)
    #: The values since the last mark.
    stack: list[Any]

    def __init__(self, file: Any, budget: _Budget) -> None:
        super().__init__(file, encoding="latin1")
        self._budget = budget

    def _setitem(self) -> None:
        _require_keys(self.stack[-2:-1])
        _USUAL[pickle.SETITEM[0]](self)

    def _setitems(self) -> None:
        _require_keys(self.stack[::2])  # since the last mark
        _USUAL[pickle.SETITEMS[0]](self)

    def _dict(self) -> None:
        _require_keys(self.stack[::2])
        _USUAL[pickle.DICT[0]](self)

    def _set(self) -> None:
        raise _Refused("a value of type set")

    dispatch[pickle.SETITEM[0]] = _setitem
    dispatch[pickle.SETITEMS[0]] = _setitems
    dispatch[pickle.DICT[0]] = _dict
    dispatch[pickle.EMPTY_SET[0]] = dispatch[pickle.FROZENSET[0]] = _set

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core.", "numpy.core.")  # NumPy 2 wrote the same files
        match f"{module}.{name}":
            case "numpy.ndarray":
                return _Name("numpy.ndarray")
            case "numpy.dtype":
                return _Function(_Dtype)
            case "numpy.core.multiarray._reconstruct":
                return _Function(_reconstruct)
            case "numpy.core.multiarray.scalar":
                return _Function(self._scalar)
            case "numpy.core.numeric._frombuffer":
                return _Function(_frombuffer)
            case "__builtin__.bytes":  # how Python 3 writes empty bytes for Python 2
                return _Function(_no_bytes)
            case "_codecs.encode":
                return _Function(self._encode)
            case other:
                raise _Refused(other)

    def _scalar(self, dtype: Any, raw: Any) -> Any:
        array = _Array()
        array.__setstate__((1, (), dtype, False, raw))
        return array.array(self._budget).item()

    def _encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        """Return the bytes that Python 3 wrote for Python 2; other codecs are refused."""
        if not isinstance(text, str) or encoding != "latin1":
            raise _Refused(f"the codec {shortened(encoding)}")
        self._budget.take(len(text))
        return text.encode("latin1")

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object outside the file")


def _require_keys(keys: Sequence[Any]) -> None:
    for key in keys:
        if type(key) not in _SCALARS:
            raise _Refused("a dictionary whose keys aren't texts or numbers")
        if type(key) is int and abs(key) >= _LARGEST_KEY:
            raise _Refused("a dictionary whose keys are numbers of more than 64 bits")


class _Name:
    """A name that is only passed on, never called."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        raise _Refused(f"a change to {self.name}")


class _Function:
    """A callable without attributes: a pickle can call it, but can't change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change to a function")


class _Dtype:
    """A type code and byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not (isinstance(code, str) and _DTYPE.fullmatch(code)):
            raise _Refused(f"an array of {shortened(code)}")
        self._code = code

    def __setstate__(self, state: Any) -> None:
        order, *structure = state[1:5]
        if any(part is not None for part in structure):
            raise _Refused("an array of records")
        if order in ("<", ">"):
            self._code = order + self._code.lstrip("<>|=")

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._code)


class _Array:
    """The shape, type and bytes of an array, filled in by the pickle."""

    def __init__(self) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, raw = state
        self.fill(shape, dtype, "F" if fortran else "C", raw, None)

    def fill(self, shape: Any, dtype: Any, order: str, raw: Any, axes: Any) -> None:
        self._state = (shape, dtype, order, raw, axes)

    def array(self, budget: _Budget) -> NDArray[Any]:
        shape, dtype, order, raw, axes = self._state
        if isinstance(raw, str):
            budget.take(len(raw))
            raw = raw.encode("latin1")  # a Python 2 string
        if not (isinstance(raw, bytes | bytearray) and isinstance(dtype, _Dtype)):
            raise _Refused("an array of objects")
        real = dtype.dtype()
        sizes = isinstance(shape, tuple | list) and len(shape) <= _MOST_DIMENSIONS
        if not sizes or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"an array can't have the shape {shortened(shape)}")
        if math.prod(shape) * real.itemsize != len(raw):
            raise ValueError(f"{len(raw)} bytes don't fill a {real} array of shape {shape}")
        budget.take(len(raw))
        array = np.frombuffer(bytes(raw), dtype=real).reshape(shape, order=_order(order))
        if axes is not None:
            array = array.transpose(_permutation(axes, len(shape)))
        return array.astype(real.newbyteorder("="), copy=False)


def _order(order: str) -> Literal["C", "F"]:
    return "F" if order == "F" else "C"


def _permutation(axes: Any, dimensions: int) -> tuple[int, ...]:
    order = axes if isinstance(axes, tuple | list) and len(axes) == dimensions else ()
    if not all(type(axis) is int for axis in order) or sorted(order) != [*range(dimensions)]:
        raise ValueError(f"{shortened(axes)} isn't an order of {dimensions} dimensions")
    return tuple(order)


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    if not (isinstance(subtype, _Name) and subtype.name == "numpy.ndarray"):
        raise _Refused("an array of a type of its own")
    return _Array()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> _Array:
    """Return an array from protocol 5; if the order is ``K``, ``axes`` transpose it."""
    array = _Array()
    array.fill(shape, dtype, order if order == "F" else "C", raw, axes if order == "K" else None)
    return array


def _no_bytes() -> bytes:
    return b""


class _Plain:
    """Turns the unpickler's result into plain values; other types are refused."""

    def __init__(self, path: Path, budget: _Budget) -> None:
        self._path, self._budget = path, budget
        # One result per object: a file can refer to one list a million times.
        self._done: dict[int, Any] = {}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        if type(value) in _SCALARS:
            return value
        if id(value) not in self._done:
            if depth > _DEEPEST:
                raise DataError(
                    f"a pickle of images is nested at most {_DEEPEST} deep, "
                    f"but {self._path} is deeper; it was not loaded"
                )
            self._done[id(value)] = self._container(value, depth + 1)
        return self._done[id(value)]

    def _container(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is _Array:
            return value.array(self._budget)
        if kind is list:
            return [self(item, depth) for item in value]
        if kind is tuple:
            return tuple(self(item, depth) for item in value)
        if kind is dict:
            return {key: self(item, depth) for key, item in value.items()}
        raise _Refused(f"a value of type {kind.__name__.lstrip('_').lower()}")
