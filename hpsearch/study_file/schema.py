"""The keys that a study file may have, as a tree derived from annotations and registries.

``registry`` turns an annotated function into keys; here every annotation becomes one of

- ``Value``: one value, checked by pydantic;
- ``Section``: named keys that all apply (a component's arguments, or a dataclass);
- ``ComponentChoice``: one component of a registry (``Annotated[Component, MODELS]``);
- ``Switches``: any number of components of a registry, each switched on by its name;
- ``Raw``: JSON-like, checked elsewhere.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PydanticSchemaGenerationError,
    TypeAdapter,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hpsearch.errors import UserError
from hpsearch.registry import Component, Key, Registry
from hpsearch.study_file.portable import is_path_key

#: The registry of each section: source, augmentation, model, optimizer, lr_schedule, regularizer,
#: sampler, pruner, tracker.
Registries: TypeAlias = Mapping[str, Registry[Any]]

#: The default of a key that the study file must give.
REQUIRED = inspect.Parameter.empty

_CONFIG = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Matching:
    """A rule for texts, in an annotation: ``Annotated[str, Matching("^/.+", "an absolute path")]``.

    A message has the rule in words; that of pydantic's ``pattern`` would have the expression.
    """

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of the text, with this rule; its words replace any inner message."""
        return core_schema.custom_error_schema(
            core_schema.no_info_after_validator_function(self._check, handler(source)),
            custom_error_type="text",
            custom_error_message="Text should be {words}",
            custom_error_context={"words": self.words},
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON schema of the text, with the pattern, for editors."""
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, value: str) -> str:
        if not re.search(self.pattern, value):
            raise ValueError(value)
        return value


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value."""

    type: Any
    default: Any = REQUIRED
    #: The rule in words; empty if pydantic's own message is clear.
    rule: str = ""
    #: Whether it can't be searched, although the keys around it can.
    fixed: bool = False
    #: Whether the normal form leaves it out if it is null, as earlier versions had no such key.
    silent: bool = False

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates JSON strictly: text isn't a number, and a boolean isn't an integer.

        Raises:
            UserError: The annotation isn't a type that a study file can contain.
        """
        try:
            return TypeAdapter(self.type, config=_CONFIG)
        except PydanticSchemaGenerationError:
            raise UserError(
                "a key's annotation must be a type that a study file can contain (numbers, text, "
                f"lists, Literal, a dataclass, a Component), but got {self.type!r}"
            ) from None

    @cached_property
    def number(self) -> Literal["int", "float", "either"] | None:
        """The type of the numbers of a range; ``None`` if the key takes no numbers."""
        members = _members(self.type)
        if float in members:
            return "either" if int in members else "float"
        return "int" if int in members else None

    @cached_property
    def nullable(self) -> bool:
        """Whether null is a valid value of this key."""
        return type(None) in _members(self.type)

    @cached_property
    def takes_lists(self) -> bool:
        """Whether a list is a valid value of this key."""
        lists = (list, tuple, set, frozenset)
        return any((get_origin(member) or member) in lists for member in _members(self.type))

    @cached_property
    def takes_mappings(self) -> bool:
        """Whether a mapping that isn't a range is a valid value of this key."""
        return any((get_origin(member) or member) is dict for member in _members(self.type))

    @property
    def required(self) -> bool:
        """Whether the study file must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True, kw_only=True)
class EitherOr:
    """Two keys of a section that exclude each other: at most one of them is given.

    An override replaces the file's other key, and the file replaces the other key that it would
    inherit by ``from``.
    """

    keys: tuple[str, str]
    #: Why both can't be given.
    rule: str

    def other(self, name: str) -> str | None:
        """Return the key that ``name`` excludes; ``None`` for any other name."""
        one, two = self.keys
        return two if name == one else one if name == two else None


@dataclass(frozen=True, kw_only=True)
class Section:
    """Named keys that all apply."""

    keys: Mapping[str, Schema]
    #: A bare value is short for ``{shorthand: value}``.
    shorthand: str = ""
    #: Keys whose contents may be searched although those of the section may not.
    searched: frozenset[str] = frozenset()
    nullable: bool = False
    #: ``{}`` (each key's own default) or null.
    default: Any = field(default_factory=dict)
    #: Keys that exclude each other. If one is given, the other has no default.
    either_or: tuple[EitherOr, ...] = ()
    #: Keys of the same section in another form of the file, which messages list, too.
    others: tuple[str, ...] = ()

    @property
    def suggested(self) -> tuple[str, ...]:
        """The keys that people write, which messages list."""
        return tuple(
            name for name, key in self.keys.items() if not isinstance(key, Raw) or key.for_people
        )

    def against(self, name: str) -> list[str]:
        """Return the keys that ``name`` excludes."""
        return [other for pair in self.either_or if (other := pair.other(name)) is not None]

    @property
    def required(self) -> bool:
        """Whether a key inside it is required."""
        return self.default is not None and any(key.required for key in self.keys.values())


#: In place of a component's name: hpsearch chooses the component (``ComponentChoice.automatic``).
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class ComponentChoice:
    """One component of a registry; several make a branch of the search."""

    registry: Registry[Any]
    default: Any = REQUIRED
    nullable: bool = False
    #: Whether texts under ``path`` and ``.._path`` are paths, even if a component annotates them as
    #: ``str``, or not at all.
    paths: bool = False
    #: Whether hpsearch chooses if the value is ``auto`` or the key is missing.
    automatic: bool = False
    _options: dict[str, Section] = field(default_factory=dict, compare=False, repr=False)

    @property
    def required(self) -> bool:
        """Whether the study file must give it."""
        return self.default is REQUIRED

    def option(self, name: str) -> Section:
        """Return the keys of a component.

        Raises:
            UnknownName: The registry has no such component.
        """
        # Derived on demand, since a component may nest its own registry
        if name not in self._options:
            keys = self.registry[name].keys.values()
            self._options[name] = Section(
                keys={key.name: schema_of(self._type(key), key.default) for key in keys}
            )
        return self._options[name]

    def _type(self, key: Key) -> Any:
        if self.paths and is_path_key(key.name):
            return Annotated[key.type, AfterValidator(_as_path)]
        return key.type


def _as_path(value: Any) -> Any:
    """Return a text as a path, unless it is a URL."""
    return Path(value) if isinstance(value, str) and "://" not in value else value


@dataclass(frozen=True, kw_only=True)
class Switches(ComponentChoice):
    """Any number of components of a registry, applied in the file's order."""

    default: Any = field(default_factory=dict)
    #: Whether a name or a list of names is valid, too: ``a``, ``[a, b: {..}]``.
    listed: bool = False


@dataclass(frozen=True, kw_only=True)
class Raw:
    """JSON-like values, checked elsewhere."""

    #: JSON Schema of the allowed values.
    json_schema: Mapping[str, Any]
    default: Any = None
    required: bool = False
    #: Whether people write the key; otherwise no message suggests it.
    for_people: bool = True


Schema: TypeAlias = Value | Section | ComponentChoice | Switches | Raw


def schema_of(annotation: Any, default: Any = REQUIRED) -> Schema:
    """Return the schema of one annotated key.

    Raises:
        UserError: A ``Component`` is annotated without its registry.
    """
    base, metadata, nullable = _unpack(annotation)
    if base is Component:
        for item in metadata:
            if isinstance(item, Registry):
                return ComponentChoice(registry=item, default=default, nullable=nullable)
        raise UserError("a Component key must be annotated as Annotated[Component, REGISTRY]")
    if dataclasses.is_dataclass(base) and isinstance(base, type):
        return _group(base, default, nullable)
    return Value(type=annotation, default=default)


def _group(cls: type, default: Any, nullable: bool) -> Section:
    """Return a dataclass's fields as keys, with the values of a default instance as defaults."""
    hints = get_type_hints(cls, include_extras=True)
    keys: dict[str, Schema] = {}
    for item in dataclasses.fields(cls):
        if isinstance(default, cls):
            own = getattr(default, item.name)
        elif item.default_factory is not dataclasses.MISSING:
            own = item.default_factory()
        else:
            own = REQUIRED if item.default is dataclasses.MISSING else item.default
        keys[item.name] = schema_of(hints[item.name], own)
    return Section(keys=keys, nullable=nullable, default=None if default is None else {})


def _unpack(annotation: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """Return the type inside ``Annotated`` and ``| None``, the metadata, and whether null is in."""
    metadata: tuple[Any, ...] = ()
    nullable = False
    while True:
        if hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif get_origin(annotation) is Annotated:
            annotation, *extras = get_args(annotation)
            metadata = (*metadata, *extras)
        elif get_origin(annotation) in (Union, types.UnionType):
            others = [member for member in get_args(annotation) if member is not type(None)]
            if len(others) != 1:
                return annotation, metadata, nullable
            annotation, nullable = others[0], True
        else:
            return annotation, metadata, nullable


def _members(annotation: Any) -> set[Any]:
    """Return the members of a (nested) union of annotated types."""
    base, _, nullable = _unpack(annotation)
    members: set[Any] = {type(None)} if nullable else set()
    if get_origin(base) in (Union, types.UnionType):
        for member in get_args(base):
            members |= _members(member)
        return members
    return members | {base}
