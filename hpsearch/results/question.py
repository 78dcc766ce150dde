"""What a study asks about: the searched parameters that its question names.

The key ``question`` of the study file may name them by their paths. Otherwise it is a text, or the
``description`` takes its place. Both are written by people, so parameters and values are found by
their names, the beginnings of these names, and other words for them ("dense net" for ``mlp``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.study_file.space import format_value, short_name

#: The parameter that chooses the model.
MODEL = "model"

#: Largest number of parameters that are named in a sentence.
_NAMED = 3

#: A parameter with more different values than this has no "other" value to compare with.
_MOST_VALUES = 12

#: A number with more values than this isn't compared at all of them.
_FEW = 4

#: Letters that two forms of one word share (``dilated`` and ``dilation``).
_STEM = 5

#: Shortest part of a value's name that counts alone (``cnn`` of ``simple_cnn``).
_PART = 3

#: Parts of values' names that many sentences contain.
_COMMON = frozenset({"net", "none", "auto", "the", "and", "for", "small", "big", "large", "layer"})

#: Sections whose name means all parameters in them.
_GROUPS = ("augmentation", "regularization")

#: Other words for a parameter or a value.
_SYNONYMS = {
    "augmentation": ("augmentation", "augmentations"),
    "regularization": ("regularization", "penalty", "penalties"),
    "model": ("model", "models", "architecture", "architectures", "network", "networks"),
    "lr": ("learning rate", "learning rates"),
    "lr_schedule": ("learning rate schedule", "schedule", "schedules", "scheduler"),
    "batch_size": ("batch size", "batch sizes", "batches"),
    "hidden": ("wid*", "deep*", "depth*"),
    "mlp": ("dense", "perceptron", "fully connected"),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A study's question in structured form."""

    #: The path of the parameter whose effect is asked about.
    parameter: str
    #: Paths of parameters that the effect may depend on.
    by: tuple[str, ...]

    def __str__(self) -> str:
        """Return the question as a sentence."""
        among = dict.fromkeys([self.parameter, *self.by])
        names = " and ".join(short_name(path, among) for path in self.by)
        return f"What does {short_name(self.parameter, among)} change{names and f', by {names}'}?"


def structured_question(document: Mapping[str, Any]) -> Question | None:
    """Return the question of a study; ``None`` if it is a text, or isn't there."""
    question = document.get("question")
    if not isinstance(question, Mapping):
        return None
    return Question(parameter=question["parameter"], by=tuple(question.get("by", ())))


def question_of(document: Mapping[str, Any]) -> str:
    """Return the question of a study: its ``question``, else its ``description``."""
    question = structured_question(document) or document.get("question")
    return str(question or document.get("description") or "")


def introduction(document: Mapping[str, Any]) -> str:
    """Return a study's ``question`` and its ``description``, which a page shows first."""
    question = structured_question(document) or document.get("question")
    return " ".join(str(part) for part in (question, document.get("description")) if part)


def paths_in_question(record: StudyRecord) -> tuple[str, ...]:
    """Return the paths of the searched parameters that the study's question names.

    They are in the order of the text; parameters of one name (``sgd.lr``, ``adam.lr``) stay
    together. A parameter is searched if its trials have at least two values.
    """
    question = structured_question(record.study.document)
    if question is not None:
        searched_paths = [
            path for path, values in values_by_path(record).items() if len(values) > 1
        ]
        return tuple(path for path in (question.parameter, *question.by) if path in searched_paths)
    words, study_words = _text_of(record)
    mentions: dict[str, tuple[int, int]] = {}
    for path, values in values_by_path(record).items():
        places = [
            (start, -len(phrase))
            for phrase in _phrases(path, values, study_words)
            if (start := _place(words, phrase)) is not None
        ]
        if len(values) > 1 and places:
            mentions[path] = min(places)
    return tuple(sorted(_longest(mentions), key=lambda path: mentions[path]))


def compared_values(record: StudyRecord) -> int:
    """Return about how many values of the parameter in question an experiment compares.

    Of a number with many values these are the winner's and the two beside it; at least two.
    """
    question = structured_question(record.study.document)
    paths = [question.parameter] if question is not None else paths_in_question(record)[:1]
    values = values_of(record, paths[0]) if paths else []
    has_many_numbers = len(values) > _FEW and all(
        isinstance(value, int | float) for value in values
    )
    return max(2, 3 if has_many_numbers else len(values))


def values_by_path(record: StudyRecord) -> dict[str, list[Any]]:
    """Return path -> the different values of a parameter that the study's trials have."""
    paths = dict.fromkeys(path for trial in record.trials for path in trial.params)
    return {path: values_of(record, path) for path in paths}


def values_of(record: StudyRecord, path: str) -> list[Any]:
    """Return the different values of one parameter that the study's trials have."""
    values = (trial.params[path] for trial in record.trials if path in trial.params)
    # Not a comparison of each with each: a study may have ten thousand learning rates
    return list(
        {
            repr(value) if isinstance(value, list | dict) else value: value for value in values
        }.values()
    )


def comparable_parameter(
    record: StudyRecord, params: Mapping[str, Any], paths: Sequence[str]
) -> str | None:
    """Return the first of ``paths`` whose other values are worth a comparison.

    Args:
        record: The study.
        params: Path -> value of one trial.
        paths: Paths of parameters.

    Returns:
        The path; ``None`` if there is none that the trial has and that has a few other values.
    """
    return next(
        (
            path
            for path in paths
            if path in params and 1 < len(values_of(record, path)) <= _MOST_VALUES
        ),
        None,
    )


def rivals(
    record: StudyRecord, trials: Sequence[TrialRecord], params: Mapping[str, Any], path: str
) -> list[TrialRecord]:
    """Return the trials that a configuration is compared with, in the given order.

    Args:
        record: The study.
        trials: Some of its trials.
        params: Path -> value of the configuration.
        path: The parameter that the study asks about; the configuration has it.

    Returns:
        Those with another value of the parameter; if the question names other values, only those.
    """
    words, study_words = _text_of(record)
    values_in_question = [
        value
        for value in values_of(record, path)
        if value != params[path]
        and isinstance(value, str)
        and any(
            _place(words, phrase) is not None
            for phrase in _phrases_of_value(value.lower(), study_words)
        )
    ]
    others = [
        trial for trial in trials if path in trial.params and trial.params[path] != params[path]
    ]
    return [
        trial
        for trial in others
        if not values_in_question or trial.params[path] in values_in_question
    ]


def rival_of(record: StudyRecord, order: Sequence[TrialRecord]) -> int | None:
    """Return the best trial that differs from the best one in what the study asks about.

    Args:
        record: The study.
        order: Trials, best first.

    Returns:
        Its number; ``None`` if the study asks about nothing that differs.
    """
    if not order:
        return None
    params = order[0].params
    path = comparable_parameter(record, params, paths_in_question(record))
    others = rivals(record, order, params, path) if path else []
    return others[0].number if others else None


def model_of(document: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return the name of a trial's model, searched or fixed; empty if it isn't known."""
    if MODEL in params:
        return str(params[MODEL])
    model = document.get(MODEL)
    names = list(model) if isinstance(model, Mapping) else [model]
    return str(names[0]) if len(names) == 1 and names[0] else ""


def describe(record: StudyRecord, params: Mapping[str, Any], paths: Sequence[str]) -> str:
    """Return a configuration by what matters: ``optimizer adam, model simple_cnn``.

    Args:
        record: The study.
        params: Path -> value of one of its trials.
        paths: The parameters to name first; those that the trial doesn't have are left out. The
            name of the model is always there.

    Returns:
        The text; empty if the study has neither such a parameter nor a model.
    """
    among = dict.fromkeys(record.paths)
    own_paths = [path for path in paths if path in params][:_NAMED]
    settings = [name_value(path, params[path], among) for path in own_paths]
    model = model_of(record.study.document, params)
    if model and MODEL not in own_paths:
        settings.append(f"model {model}" if settings else model)
    return ", ".join(settings)


def best_with(path: str, value: Any, among: Mapping[str, Any]) -> str:
    """Return ``the best mlp`` or ``the best with optimizer adam``.

    Args:
        path: The parameter.
        value: Its value.
        among: As in ``name_value``.
    """
    return f"the best {'' if path == MODEL else 'with '}{name_value(path, value, among)}"


def name_value(path: str, value: Any, among: Mapping[str, Any]) -> str:
    """Return one setting: the name of a model alone, else ``optimizer adam``.

    Args:
        path: The parameter.
        value: Its value.
        among: The paths of all parameters, for the shortest name that is unique.
    """
    text = format_value(value)
    return text if path == MODEL else f"{short_name(path, among)} {text}"


def _text_of(record: StudyRecord) -> tuple[list[str], set[str]]:
    """Return the words of the study's question, and those of the study's name."""
    document = record.study.document
    name = str(document.get("study", "")).replace("_", " ")
    return _words(question_of(document)), set(_words(name))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9_]+", text.lower())


def _phrases(path: str, values: Sequence[Any], study_words: set[str]) -> Iterator[list[str]]:
    """Yield what may name a parameter: words, of which one that ends in ``*`` is a beginning."""
    *above, key = path.lower().split(".")
    parts = key.split("_")
    yield [key]
    yield from ([f"{part[:_STEM]}*"] for part in parts if len(part) >= _STEM)
    yield from (phrase.split() for phrase in _SYNONYMS.get(key, ()))
    yield from (
        phrase.split() for group in above if group in _GROUPS for phrase in _SYNONYMS[group]
    )
    for value in values:
        if isinstance(value, str) and re.fullmatch(r"\w+", value):
            yield from _phrases_of_value(value.lower(), study_words)


def _phrases_of_value(name: str, study_words: set[str]) -> Iterator[list[str]]:
    parts = name.split("_")
    yield [name]
    yield parts
    yield from (phrase.split() for phrase in _SYNONYMS.get(name, ()))
    # A word of the study's own name, such as "emoji", is more likely its subject than a model
    yield from (
        [part]
        for part in parts
        if len(part) >= _PART and part not in _COMMON and part not in study_words
    )


def _place(words: Sequence[str], phrase: Sequence[str]) -> int | None:
    """Return the index of the first word of a phrase in a text; ``None`` if it isn't there."""
    count = len(phrase)
    return next(
        (
            start
            for start in range(len(words) - count + 1)
            if all(map(_matches, words[start : start + count], phrase))
        ),
        None,
    )


def _matches(word: str, pattern: str) -> bool:
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


def _longest(mentions: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Yield the paths whose words aren't a part of a longer phrase of another one."""
    for path, (start, less) in mentions.items():
        end = start - less
        if not any(
            other <= start and end <= other - longer and longer < less
            for other, longer in mentions.values()
        ):
            yield path
