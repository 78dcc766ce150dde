"""Parsing of commands: flags have no type in ``--help``, and ``--study`` may be left out."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command of hpsearch.

    Typer would show a flag with a type, ``--json <bool>``; here it is ``--json``. A command that
    requires ``--study`` also takes the study as its first argument: ``hpsearch launch my.yaml``.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Return options and arguments, flags without a type."""
        return _flags_without_type(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, including the study."""
        options, *others = super().collect_usage_pieces(ctx)
        return [options, *([] if self._study_option(ctx) is None else ["STUDY"]), *others]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line; a study without ``--study`` is parsed as with it."""
        option = self._study_option(ctx)
        if option is not None:
            args = self._with_study_option(ctx, list(args), option)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Offer names of studies if the study may be the next argument."""
        option = self._study_option(ctx)
        if incomplete.startswith("-") or option is None or ctx.params.get(option.name):
            return super().shell_complete(ctx, incomplete)
        completions: list[Any] = option.shell_complete(ctx, incomplete)
        return completions

    def _study_option(self, ctx: Any) -> Any | None:
        """Return the option ``--study`` if the command requires it; otherwise ``None``."""
        for param in self.get_params(ctx):
            if "--study" in param.opts and param.required:
                return param
        return None

    def _with_study_option(self, ctx: Any, args: list[str], option: Any) -> list[str]:
        options, words = self._read(ctx, args)
        if option.name in options or not words:
            return args
        if option.multiple:
            studies = words
        elif len(words) <= len(self._arguments(ctx)) and words[0].isdecimal():
            if not ctx.resilient_parsing:
                ctx.fail(
                    f"a study must be named before its trial, but got only {words[0]}; write: "
                    f"{ctx.command_path} STUDY {words[0]}"
                )
            return args
        else:
            studies = words[:1]
        for study in studies:
            args = self._without(ctx, args, study)
        return [*(f"--study={study}" for study in studies), *args]

    def _read(self, ctx: Any, args: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the options that are given by name, and all words that belong to no option."""
        options, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        values = [options.pop(argument.name, None) for argument in self._arguments(ctx)]
        return options, [*(word for word in values if isinstance(word, str)), *rest]

    def _arguments(self, ctx: Any) -> list[Any]:
        """Return the arguments that the command declares."""
        return [param for param in self.get_params(ctx) if param.param_type_name == "argument"]

    def _without(self, ctx: Any, args: list[str], word: str) -> list[str]:
        """Return ``args`` without the ``word`` that isn't an option's value."""
        _, words = self._read(ctx, args)
        for index, candidate in enumerate(args):
            others = args[:index] + args[index + 1 :]
            if candidate == word and self._read(ctx, others)[1] == words[1:]:
                return others
        return args


class Group(TyperGroup):
    """A group of commands whose flags are shown without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return options, flags without a type."""
        return _flags_without_type(super().get_params(ctx))


def _flags_without_type(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params
