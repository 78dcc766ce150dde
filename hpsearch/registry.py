"""Registries: how a study file's names become models, optimizers, samplers and the rest.

A component is a function (or class) registered under a name::

    @MODELS.register("mlp")
    def mlp(input_shape: tuple[int, int, int], classes: int, /, *,
            hidden: list[PositiveInt] = [128], dropout: Probability = 0.0) -> nn.Module:
        '''A dense network.'''

hpsearch passes the arguments before the ``*``; **every keyword-only argument is a key of the study
file**, with its annotation as type and its default as default (without one it is required).
Annotations may be scalars, ``Literal``, ``list``, optional, ``Annotated[.., pydantic.Field(..)]``;
a frozen dataclass (a group of keys); ``Annotated[Component, SOME_REGISTRY]`` (one component of a
registry, a nested branch).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from hpsearch.errors import HpsearchError, UnknownName, UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Component:
    """A name and its settings, as a study file has them: ``{sgd: {lr: 0.1}}``."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key that a component takes in a study file."""

    name: str
    #: The annotation, ``Annotated`` metadata included.
    type: Any
    #: ``inspect.Parameter.empty`` if the key is required.
    default: Any

    @property
    def required(self) -> bool:
        """Whether the study file must contain it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[T]):
    """A registered component."""

    name: str
    #: First line of the docstring.
    description: str
    build: Callable[..., T]
    keys: Mapping[str, Key]


class Registry(Generic[T]):
    """Components of one kind by name."""

    def __init__(self, kind: str, *, returns: type[T] | None = None) -> None:
        """Make an empty registry.

        Args:
            kind: The name of its components in messages, such as ``model``.
            returns: The type that components return, which is checked for plug-ins; ``None``: any
                value except ``None``.
        """
        self.kind = kind
        self._returns = returns
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Return the decorator that registers a function or class under ``name``.

        Raises:
            ValueError: In the decorator; the name is taken.
        """

        def decorate(build: Callable[..., T]) -> Callable[..., T]:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is already registered")
            self._entries[name] = Entry(
                name=name,
                description=(inspect.getdoc(build) or "").partition("\n")[0],
                build=build,
                keys=_keys_of(build),
            )
            return build

        return decorate

    def __getitem__(self, name: str) -> Entry[T]:
        """Look up ``name``.

        Raises:
            UnknownName: It isn't registered; the message lists the valid names.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries[name] for name in sorted(self._entries))

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(self._entries)

    def build(self, component: Component, /, *args: Any, **extra: Any) -> T:
        """Call the component's function with ``args``, ``extra`` and the component's settings.

        Exceptions of a plug-in's component get a note that names the component.

        Args:
            component: Name and settings. Settings may be as in a study file: a mapping for a
                dataclass, ``{relu: {}}`` or ``relu`` for a ``Component``.
            args: Positional arguments of the function.
            extra: Further keyword arguments of the function.

        Raises:
            UnknownName: There is no such component.
            TypeError: A plug-in's component returned another type than the registry's.
        """
        entry = self[component.name]
        settings = {
            name: _argument(entry.keys[name].type, entry.keys[name].default, value)
            if name in entry.keys
            else value
            for name, value in component.settings.items()
        }
        if not _is_of_plugin(entry.build):
            return entry.build(*args, **extra, **settings)
        try:
            instance = entry.build(*args, **extra, **settings)
            if instance is None or not isinstance(instance, self._returns or object):
                type_name = "something" if self._returns is None else self._returns.__name__
                raise TypeError(
                    f"it must return {type_name}, but returned {type(instance).__name__}"
                )
        except HpsearchError:
            raise
        except Exception as error:
            code = getattr(entry.build, "__code__", None)
            place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
            error.add_note(f"{_NOTE}{self.kind} {component.name!r} of a plug-in{place}")
            raise
        return instance


def _keys_of(build: Callable[..., Any]) -> dict[str, Key]:
    target = build.__init__ if inspect.isclass(build) else build
    hints = get_type_hints(target, include_extras=True)
    return {
        name: Key(name=name, type=hints.get(name, Any), default=parameter.default)
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _argument(annotation: Any, default: Any, value: Any) -> Any:
    """Convert a value of a study file to the type of its key's annotation."""
    base = _class_in(annotation)
    if base is Component and isinstance(value, str):
        return Component(value)
    if base is Component and isinstance(value, Mapping):
        ((name, settings),) = value.items()
        return Component(name, settings or {})
    if base is not None and dataclasses.is_dataclass(base) and isinstance(value, Mapping):
        hints = get_type_hints(base, include_extras=True)
        defaults = {field.name: field.default for field in dataclasses.fields(base)}
        if isinstance(default, base):
            defaults = {name: getattr(default, name) for name in defaults}
        fields = {
            key: _argument(hints[key], defaults[key], setting) for key, setting in value.items()
        }
        return (
            dataclasses.replace(default, **fields) if isinstance(default, base) else base(**fields)
        )
    return value


def _class_in(annotation: Any) -> type | None:
    """Return the class inside ``Annotated`` and ``| None``; ``None`` if there are several."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            others = [member for member in get_args(annotation) if member is not types.NoneType]
            if len(others) != 1:
                return None
            (annotation,) = others
        else:
            return annotation if isinstance(annotation, type) else None


#: Prefix of plug-ins' module names, and of the note on an exception of their components.
_PLUGIN, _NOTE = "hpsearch_plugin_", "raised by "


def plugin_fault(error: BaseException) -> UserError | None:
    """Return the message that a plug-in failed; ``None`` if no plug-in caused the exception.

    It names the plug-in's last line in the traceback, or the component if the traceback has none
    (a component returned a wrong type).
    """
    name = type(error).__name__
    text = name if str(error) == "" else f"{name}: {error}"
    steps = list(traceback.walk_tb(error.__traceback__))
    for frame, line in reversed(steps):
        if str(frame.f_globals.get("__name__", "")).startswith(_PLUGIN):
            code = frame.f_code
            return UserError(
                f"plug-in {code.co_filename} failed at line {line}, in {code.co_name}: {text}"
            )
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_NOTE):
            return UserError(f"{note.removeprefix(_NOTE)} failed: {text}")
    return None


def _is_of_plugin(build: Callable[..., Any]) -> bool:
    return str(getattr(build, "__module__", "")).startswith(_PLUGIN)


def _lies_beside(path: Path, module: str | None) -> bool:
    first = (module or "").partition(".")[0]
    return bool(first) and any(
        (path.parent / file).exists() for file in (f"{first}.py", f"{first}/__init__.py")
    )


def load_plugin(path: Path) -> None:
    """Run a user's Python file once, so that it registers its components.

    Raises:
        UserError: The file is missing, isn't Python, or fails.
    """
    # One name per file, without its folders: exported models contain the modules of their classes
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
    module_name = f"{_PLUGIN}{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest}"
    if module_name in sys.modules:
        return
    if not path.is_file():
        raise UserError(f"a plug-in must be a Python file, but {path} doesn't exist")
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"a plug-in must be a Python file, but {path} isn't one")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        if isinstance(error, ModuleNotFoundError) and _lies_beside(path, error.name):
            raise UserError(
                f"plug-in {path} imports {error.name!r}, a file next to it, but the folder of a "
                "plug-in isn't searched for modules, because it may belong to another user; set "
                f"PYTHONPATH={path.resolve().parent} if you trust its files"
            ) from error
        fault = plugin_fault(error)
        if fault is not None and not isinstance(error, HpsearchError):
            raise fault from error
        raise UserError(f"plug-in {path} failed: {type(error).__name__}: {error}") from error
