"""The JSON Schema of study files, for completion and checks in an editor.

It is less strict than loading. ``hpsearch check`` checks the rest: that ``min < max``, that
``try_first`` is inside the space, and whether a union allows a range.
"""

from __future__ import annotations

from typing import Any

from hpsearch.registry import Registry
from hpsearch.study_file.schema import (
    AUTO,
    ComponentChoice,
    Raw,
    Registries,
    Schema,
    Section,
    Switches,
    Value,
)
from hpsearch.study_file.sections import LOOP, loop_schema, root_schema
from hpsearch.study_file.values import CONFIDENCES
from hpsearch.study_file.walk import FOUND


def json_schema(registries: Registries) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a study file with these components."""
    root = root_schema(registries)
    whole, later = _Writer(), _Writer(later=True)
    of_loop = loop_schema(registries, {})
    with_loop = whole.section(of_loop, searchable=False)
    inherited_loop = later.section(of_loop, searchable=False)
    inherited_loop["required"].remove("metrics")  # .. which the earlier study has
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hpsearch study file",
        "type": "object",
        "if": _has_key(LOOP),
        "then": {"if": _has_key("from"), "then": inherited_loop, "else": with_loop},
        "else": {
            "if": {"anyOf": [_has_key("from"), _has_key("recipe")]},
            "then": later.section(root, searchable=False),
            "else": whole.section(root, searchable=False),
        },
        "$defs": {**whole.definitions, **later.definitions},
    }


def _has_key(key: str) -> dict[str, Any]:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


class _Writer:
    """Writes schemas; each registry is written once, under ``$defs`` (registries may nest)."""

    def __init__(self, *, later: bool = False) -> None:
        self.definitions: dict[str, Any] = {}
        #: Whether the file has ``from`` or ``recipe``, so that keys they give aren't required.
        self.later = later

    def write(self, schema: Schema, *, searchable: bool) -> dict[str, Any]:
        match schema:
            case Value():
                return self.leaf(schema, searchable=searchable)
            case Section():
                body = self.section(schema, searchable=searchable)
                short = []
                if schema.shorthand:
                    short.append(self.write(schema.keys[schema.shorthand], searchable=searchable))
                if schema.nullable or not schema.required:
                    short.append({"type": "null"})
                return {"anyOf": [body, *short]} if short else body
            case Switches():
                return self.reference(schema, searchable=searchable)
            case ComponentChoice():
                reference = self.reference(schema, searchable=searchable)
                return {"anyOf": [reference, {"type": "null"}]} if schema.nullable else reference
            case Raw():
                return dict(schema.json_schema)

    def section(self, schema: Section, *, searchable: bool) -> dict[str, Any]:
        body = self.keys(schema, searchable=searchable)
        not_null = {"not": {"type": "null"}}
        apart = [
            {"not": {"properties": dict.fromkeys(pair.keys, not_null), "required": list(pair.keys)}}
            for pair in schema.either_or
        ]
        return {**body, "allOf": apart} if apart else body

    def keys(self, schema: Section, *, searchable: bool) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                name: self.write(key, searchable=searchable or name in schema.searched)
                for name, key in schema.keys.items()
            },
            "required": [
                name
                for name, key in schema.keys.items()
                if key.required and not (self.later and (searchable or name in schema.searched))
            ],
            "additionalProperties": False,
        }

    def leaf(self, schema: Value, *, searchable: bool) -> dict[str, Any]:
        fixed = schema.adapter.json_schema(ref_template="#/$defs/{model}")
        self.definitions.update(fixed.pop("$defs", {}))
        fixed.pop("title", None)
        default = {}
        if schema.default is None or isinstance(schema.default, bool | int | float | str):
            default["default"] = schema.default
        if not searchable or schema.fixed:
            return {**fixed, **default}
        values = {
            "type": "object",
            "properties": {
                "values": {"type": "array", "items": fixed, "minItems": 1},
                "prior": fixed,
                "confidence": {"enum": list(CONFIDENCES)},
            },
            "required": ["values"],
            "dependentRequired": {"confidence": ["prior"]},
            "additionalProperties": False,
        }
        forms = [fixed, values]
        if schema.number is not None:
            number = {"type": "integer" if schema.number == "int" else "number"}
            forms.append(
                {
                    "type": "object",
                    "properties": {
                        "min": number,
                        "max": number,
                        "step": number,
                        "log": {"type": "boolean"},
                        "prior": number,
                        "confidence": {"enum": list(CONFIDENCES)},
                    },
                    "required": ["min", "max"],
                    "dependentRequired": {"confidence": ["prior"]},
                    "additionalProperties": False,
                }
            )
        return {"anyOf": forms, **default}

    def reference(self, schema: ComponentChoice, *, searchable: bool) -> dict[str, Any]:
        kind = schema.registry.kind.replace(" ", "_")
        form = "some" if isinstance(schema, Switches) else "one"
        name = f"{form}_{kind}{'' if searchable else '_fixed'}{'_later' if self.later else ''}"
        if name not in self.definitions:
            self.definitions[name] = {}  # a placeholder, as a nested registry may refer to it
            if isinstance(schema, Switches):
                self.definitions[name] = self.some_of(schema, searchable=searchable)
            else:
                self.definitions[name] = self.one_of(schema, searchable=searchable)
        return {"$ref": f"#/$defs/{name}"}

    def one_of(self, schema: ComponentChoice, *, searchable: bool) -> dict[str, Any]:
        options = {
            name: self.component(schema, name, searchable=searchable)
            for name in schema.registry.names()
        }
        if not options:  # loops are in plug-ins only, which this schema may not know
            return {"type": ["string", "object"]}
        may_lack = self.later and searchable
        bare = [name for name in options if may_lack or not schema.option(name).required]
        if schema.automatic:
            bare.append(AUTO)
        mapping: dict[str, Any] = {
            "type": "object",
            "properties": options,
            "minProperties": 1,
            "additionalProperties": False,
        }
        if not searchable:
            mapping["maxProperties"] = 1
        else:
            found_option = {FOUND: {"type": ["object", "null"]}} if self.later else {}
            prior = {
                "prior": {"enum": [*options, *found_option]},
                "confidence": {"enum": list(CONFIDENCES)},
            }
            mapping["properties"] = {**prior, **options, **found_option}
            mapping["dependentRequired"] = {"confidence": ["prior"]}
        return {"anyOf": [{"enum": bare}, mapping]} if bare else mapping

    def some_of(self, schema: Switches, *, searchable: bool) -> dict[str, Any]:
        on_off = self.leaf(Value(type=bool), searchable=searchable)
        options = {}
        for name in schema.registry.names():
            keys = self.component(schema, name, searchable=searchable)
            options[name] = {"anyOf": [on_off, keys]}
        body = {"type": "object", "properties": options, "additionalProperties": False}
        forms = [body, {"type": "null"}]
        if schema.listed:
            bare = {"enum": [option for option in options if not schema.option(option).required]}
            one = {**body, "minProperties": 1}
            forms += [bare, {"type": "array", "items": {"anyOf": [bare, one]}}]
        return {"anyOf": forms}

    def component(self, schema: ComponentChoice, name: str, *, searchable: bool) -> dict[str, Any]:
        registry: Registry[Any] = schema.registry
        written = self.write(schema.option(name), searchable=searchable)
        return {"description": registry[name].description, **written}
