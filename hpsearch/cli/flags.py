"""Commands whose help shows a flag as what it is: ``--json``, and not ``--json <bool>``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command. Typer would name the type of a flag, as if it took a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return options and arguments, flags without a type."""
        return _flags_without_type(super().get_params(ctx))


class Group(TyperGroup):
    """The same of a group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return options, flags without a type."""
        return _flags_without_type(super().get_params(ctx))


def _flags_without_type(params: list[Any]) -> list[Any]:
    for each in params:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return params
