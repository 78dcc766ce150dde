"""From a tree of values to the study: the last step of loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.registry import Component
from hpsearch.study_file.diagnostics import Diagnostics, quote
from hpsearch.study_file.durations import parse_duration
from hpsearch.study_file.first_trials import FirstTrial, parse_first_trials
from hpsearch.study_file.goal_keys import check_goals, normal_form
from hpsearch.study_file.goals import Goals
from hpsearch.study_file.plugins import Plugin
from hpsearch.study_file.question_key import check_question
from hpsearch.study_file.schema import AUTO, ComponentChoice, Section
from hpsearch.study_file.sections import LOOP, NO_HELP, space_of
from hpsearch.study_file.shipped import SHIPPED, file_of, sha256_of
from hpsearch.study_file.space import Group, Space, join
from hpsearch.study_file.study import Budget, Confirm, StudyFile
from hpsearch.study_file.syntax import MapNode, ScalarNode, YamlNode, to_plain
from hpsearch.study_file.walk import parse, plain


def assemble(
    schema: Section, node: MapNode, plugins: Sequence[Plugin], text: str, diagnostics: Diagnostics
) -> StudyFile:
    """Check the whole tree and build the study.

    Args:
        schema: The root schema.
        node: The tree of the file, with ``from`` and the overrides applied.
        plugins: The plug-ins of the study.
        text: The text of the file as it was read.
        diagnostics: Receives problems; may contain those of earlier steps.

    Returns:
        The valid study.

    Raises:
        StudyFileError: This step or an earlier one reported a problem.
    """
    node = _without_auto(schema, node)
    tree = parse(schema, node, "", diagnostics, searchable=False)
    children = tree.children if isinstance(tree, Group) else {}
    space = Group({key: children[key] for key in space_of(schema) if key in children})
    first_trials = _first_trials(schema, space, node, diagnostics)
    provenance = _provenance(node.entries.get("provenance"), diagnostics)
    _check_found(node.entries.get("found"), diagnostics)
    confirms, ablates = node.entries.get("confirms"), node.entries.get("ablates")
    check_goals(children, node, diagnostics)
    check_question(Space(space), node.entries.get("question"), diagnostics)
    if len(diagnostics):
        raise diagnostics.error()
    document = _document(children, plugins, first_trials, provenance)
    auto_sections = _automatic(schema) - node.entries.keys()
    if document.get("search", NO_HELP)["prior"] == AUTO:
        auto_sections.add("search")
        _choose_prior(document, sampler_named="sampler" not in auto_sections)
    if document.get("prune_on", "") is None:
        auto_sections.add("prune_on")  # earlier studies stored the first metric
    try:
        _name_file(document)
    except OSError as error:
        search = node.entries.get("search", node)
        diagnostics.add(
            search.location,
            "search.prior",
            f"must be a prior's file that can be read, but {error.filename}: {error.strerror}",
        )
        raise diagnostics.error() from error
    budget = document["budget"]
    time = budget["time"]
    return StudyFile(
        name=document["study"],
        description=document["description"],
        seed=document["seed"],
        objective=Goals.of(document).objective,
        budget=Budget(
            trials=budget["trials"],
            epochs_per_trial=budget["epochs_per_trial"],
            time=None if time is None else parse_duration(time),
            trial_timeout=parse_duration(budget["trial_timeout"]),
            stops_by_itself=budget.get("stop") == "auto",
        ),
        sampler=_component(document["sampler"]),
        pruner=_component(document["pruner"]),
        pruner_audit=document["pruner_audit"],
        space=Space(space),
        try_first=tuple(trial.params for trial in first_trials),
        plugins=tuple(plugin.path for plugin in plugins),
        text=text,
        document=document,
        provenance=provenance,
        confirm=Confirm(**(document.get("confirm") or {})),
        confirms=None if confirms is None else to_plain(confirms),
        ablates=None if ablates is None else to_plain(ablates),
        trackers=_switched_on(document.get("trackers") or {}),
        prior=(document.get("search") or NO_HELP)["prior"],
        prior_sha256=(document.get("search") or NO_HELP).get("sha256"),
        auto_sections=frozenset(auto_sections),
    )


def _automatic(schema: Section) -> set[str]:
    """Return the keys whose values hpsearch chooses if the file has ``auto``, or lacks the key."""
    return {
        key
        for key, sub in schema.keys.items()
        if isinstance(sub, ComponentChoice) and sub.automatic
    }


def _without_auto(schema: Section, node: MapNode) -> MapNode:
    automatic = _automatic(schema)
    entries = {
        key: entry
        for key, entry in node.entries.items()
        if not (key in automatic and isinstance(entry, ScalarNode) and entry.value == AUTO)
    }
    return replace(node, entries=entries)


def _first_trials(
    schema: Section, space: Group, node: MapNode, diagnostics: Diagnostics
) -> list[FirstTrial]:
    entry = node.entries.get("try_first")
    if entry is None or (isinstance(entry, ScalarNode) and entry.value is None):
        return []
    searched = Section(keys={key: schema.keys[key] for key in space_of(schema)})
    return parse_first_trials(searched, space, entry, diagnostics)


def _provenance(node: YamlNode | None, diagnostics: Diagnostics) -> Mapping[str, Any] | None:
    if node is None:
        return None
    provenance = to_plain(node)
    if provenance is None or provenance == {}:
        return None
    if not isinstance(node, MapNode):
        diagnostics.add(
            node.location, "provenance", f"must be a mapping, but got {quote(provenance)}"
        )
        return None
    for name in ("trial_seed", "split_seed"):
        seed = provenance.get(name)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            diagnostics.add(
                node.entries[name].location,
                join("provenance", name),
                f"must be an integer of at least 0, but got {quote(seed)}",
            )
    return dict(provenance)


def _check_found(node: YamlNode | None, diagnostics: Diagnostics) -> None:
    record = None if node is None else to_plain(node)
    if node is not None and record is not None and not isinstance(node, MapNode):
        diagnostics.add(
            node.location,
            "found",
            f"must be a mapping, which hpsearch writes, but got {quote(record)}; name the study or "
            "file that was found in `from`",
        )


def _document(
    children: Mapping[str, Any],
    plugins: Sequence[Plugin],
    first_trials: Sequence[FirstTrial],
    provenance: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the study in its normal form, without empty lists."""
    document = {key: plain(child) for key, child in children.items()}
    document["plugins"] = [
        {"path": str(plugin.path), "sha256": plugin.sha256} for plugin in plugins
    ]
    document["try_first"] = [trial.written for trial in first_trials]
    document["provenance"] = provenance
    document.pop("from", None)  # `found` contains its result
    normal_form(document)
    if document["search"] == NO_HELP or document["provenance"]:
        # Without a prior, the document equals earlier versions'; a frozen study has no search
        del document["search"]
    if document.get("evaluate") == "weights":
        del document["evaluate"]  # earlier versions don't have this key
    for key in (
        *("plugins", "trackers", "found", "confirm", "confirms", "ablates"),
        *("try_first", "provenance"),
    ):
        if not document[key]:
            del document[key]
    return document


def _choose_prior(document: dict[str, Any], *, sampler_named: bool) -> None:
    """Replace ``auto``: no prior if the file names a sampler, else the newest shipped prior."""
    if sampler_named or LOOP in document:  # a prior judges models that hpsearch builds
        del document["search"]
    else:
        document["search"]["prior"] = SHIPPED[-1]


def _name_file(document: dict[str, Any]) -> None:
    """Store the SHA-256 of the prior's file, unless the document already has one.

    As with plug-ins, another file under the same name makes another study.

    Raises:
        OSError: The file can't be read.
    """
    search = document.get("search")
    if search is None:
        return
    section = {"prior": search["prior"]}
    if file_of(section["prior"]) is not None:
        section["sha256"] = search.get("sha256") or sha256_of(section["prior"])
    document["search"] = section


def _switched_on(section: Mapping[str, Any]) -> tuple[Component, ...]:
    return tuple(
        Component(name, settings if isinstance(settings, Mapping) else {})
        for name, settings in section.items()
        if settings is not False
    )


def _component(section: Mapping[str, Any]) -> Component:
    ((name, settings),) = section.items()
    return Component(name, settings)
