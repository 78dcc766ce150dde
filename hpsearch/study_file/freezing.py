"""A trial as a study file without ranges: the frozen config."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from hpsearch.foreign_text import escape_yaml, is_clean
from hpsearch.json_values import json_safe
from hpsearch.study_file.portable import PathText
from hpsearch.study_file.space import Scalar, is_searched
from hpsearch.study_file.study import StudyFile


def freeze(
    study: StudyFile, params: Mapping[str, Scalar], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the study's document with the point ``params`` in place of the ranges.

    Args:
        study: The study, or a frozen config, which only gets the new provenance.
        params: Path -> stored value, for every parameter that applies.
        provenance: Where the point comes from, JSON-like. Its ``trial_seed``, if given, is the
            training seed of the frozen config. Numbers that aren't finite become null.

    Raises:
        KeyError: A parameter is missing.
    """
    config = study.space.freeze(params).config
    frozen = {key: config.get(key, value) for key, value in study.document.items()}
    for done in ("try_first", "confirm", "confirms", "ablates", "trackers", "search"):
        frozen.pop(done, None)
    if isinstance(frozen.get("question"), Mapping):
        del frozen["question"]  # nothing is searched any more, so nothing has these paths
    frozen["budget"] = {**study.document["budget"], "trials": 1, "time": None}
    frozen["provenance"] = json_safe(provenance)
    return frozen


def to_yaml(document: Mapping[str, Any], header_comment: str = "") -> str:
    """Return a study document as YAML text, under a comment.

    Invisible characters and those that change the direction of text are escaped, so that a reader
    sees what the file contains.
    """
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.width = 100_000  # never folds a line
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(_laid_out(document), stream)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header_comment.splitlines())
    return escape_yaml(comment + stream.getvalue())


class _Representer(RoundTripRepresenter):
    """Writes null and small numbers so that YAML 1.1 readers understand them too."""


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _number(representer: Any, value: float) -> Any:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")  # YAML 1.1 reads 1e-05 as text
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


_Representer.add_representer(type(None), _null)
_Representer.add_representer(float, _number)


def _laid_out(value: Any) -> Any:
    """Return ``value`` with hints for the YAML writer, so that ranges and lists take one line."""
    match value:
        case Mapping():
            laid_out = CommentedMap((_quoted(key), _laid_out(item)) for key, item in value.items())
            if not value or is_searched(value):
                laid_out.fa.set_flow_style()
            return laid_out
        case list() | tuple():
            listed = CommentedSeq(_laid_out(item) for item in value)
            if not any(isinstance(item, Mapping) for item in value):
                listed.fa.set_flow_style()
            return listed
        case PathText():
            return _quoted(str(value))
        case str() if "\n" in value and _fits_a_block(value):
            return LiteralScalarString(value)
        case str():
            return _quoted(value)
    return value


def _quoted(text: Any) -> Any:
    """Return ``text``, marked for double quotes if a part of it must be escaped."""
    hidden = isinstance(text, str) and not is_clean(text)
    return DoubleQuotedScalarString(text) if hidden else text


def _fits_a_block(text: str) -> bool:
    """Whether a literal block represents ``text`` exactly."""
    lines = text.split("\n")
    return text.isascii() and all(
        line.isprintable() and line == line.rstrip() and not line.startswith(" ") for line in lines
    )
