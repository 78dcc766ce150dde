"""Runs ``kubectl``, which knows the cluster, the user and how to log in."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hpsearch.errors import UserError


class Refused(UserError):
    """kubectl reports an error."""

    def __init__(self, verb: str, errors: str) -> None:
        own_log = re.compile(r"[EWI]\d{4} ")
        lines = [line for line in errors.splitlines() if line and not own_log.match(line)]
        #: What kubectl printed, without its log.
        self.printed = " ".join(lines) or "it prints no reason"
        match = re.search(r"Error from server \((\w+)\)", self.printed)
        invalid = re.match(r"The .+ is invalid: ", self.printed)
        #: The server's word for it, such as ``NotFound``; empty if it isn't the server's answer.
        self.reason = match[1] if match else "Invalid" if invalid else ""
        if self.reason:
            super().__init__(f"the Kubernetes cluster refuses `kubectl {verb}`: {self.printed}")
        else:
            super().__init__(
                f"`kubectl {verb}` fails: {self.printed} (`kubectl cluster-info` shows whether the "
                "cluster can be reached)"
            )


@dataclass(frozen=True)
class Kubectl:
    """The program, for one cluster and namespace."""

    #: ``None``: the current context of kubectl's configuration.
    context: str | None = None
    #: ``None``: the namespace of the context.
    namespace: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The options that name the cluster and the namespace."""
        context = () if self.context is None else (f"--context={self.context}",)
        return context if self.namespace is None else (*context, f"--namespace={self.namespace}")

    def run(self, *words: str, text: str | None = None) -> str:
        """Run a command; returns its output.

        Args:
            words: The command and its options.
            text: Its standard input; ``None``: none.

        Raises:
            Refused: It reports an error.
            UserError: It isn't installed.
        """
        with _require_kubectl():
            process = subprocess.run(
                ["kubectl", *self.options, *words],
                input=text or "",
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        if process.returncode != 0:
            raise Refused(words[0], process.stderr)
        return process.stdout

    def lines(self, *words: str) -> Iterator[str]:
        """Yield the lines that a command prints, as they come; ends it if the caller stops.

        Raises:
            Refused: It reports an error.
            UserError: It isn't installed.
        """
        with _require_kubectl():
            process = subprocess.Popen(
                ["kubectl", *self.options, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        with process:
            try:
                for line in process.stdout or ():
                    yield line.rstrip("\n")
                if process.wait() != 0:
                    raise Refused(words[0], process.stderr.read() if process.stderr else "")
            finally:
                process.kill()


@contextmanager
def _require_kubectl() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(
            "the engine kubernetes works through the program kubectl, but there is none on PATH; "
            "install it (https://kubernetes.io/docs/tasks/tools)"
        ) from None
