"""The key ``question``: a text, or the parameter that a study asks about, by its path."""

from __future__ import annotations

from hpsearch.study_file.diagnostics import Diagnostics, quote
from hpsearch.study_file.space import Space
from hpsearch.study_file.spelling import report_unknown
from hpsearch.study_file.syntax import ListNode, MapNode, ScalarNode, YamlNode, to_plain

#: The form of the key, in words.
RULE = "a text, or {parameter: PATH, by: [PATH, ..]} with paths of searched parameters"

_KEYS = ("parameter", "by")


def check_question(space: Space, node: YamlNode | None, diagnostics: Diagnostics) -> None:
    """Report a structured question whose keys or paths don't exist.

    Args:
        space: The study's space.
        node: The key's value as it was written; ``None`` if the key isn't there.
        diagnostics: Receives problems.
    """
    if not isinstance(node, MapNode):
        return
    parameters = space.parameters()
    for name, entry in node.entries.items():
        if name not in _KEYS:
            report_unknown(entry.location, f"question.{name}", "key", name, _KEYS, diagnostics)
    parameter = node.entries.get("parameter")
    if parameter is None:
        diagnostics.add(
            node.location, "question", f"must be {RULE}, but got {quote(to_plain(node))}"
        )
        return
    by = node.entries.get("by")
    if by is not None and not isinstance(by, ListNode):
        diagnostics.add(
            by.location,
            "question.by",
            f"must be a list of paths of searched parameters, but got {quote(to_plain(by))}",
        )
        by = None
    paths = [("question.parameter", parameter)]
    paths += [("question.by", entry) for entry in (by.items if by is not None else ())]
    if not parameters:
        return  # nothing is searched any more: a frozen config, or a study of one configuration
    for key, path in paths:
        name = str(to_plain(path))
        if not isinstance(path, ScalarNode) or name not in parameters:
            report_unknown(path.location, key, "searched parameter", name, parameters, diagnostics)
