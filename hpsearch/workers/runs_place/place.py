"""The runs place that ``--runs`` names: a folder of this host, or a prefix in an object store.

Code that gets a ``Path`` works on that folder. A ``RunsUrl`` names a prefix that all hosts share:
checkpoints and best weights are objects, and no host keeps a copy of them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from hpsearch.errors import UserError

#: The folder of a command without ``--runs``, and of what only one host needs.
DEFAULT_FOLDER = Path("runs")

#: Accepted object stores, with the package that reads each. A put there is atomic.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}

#: A bucket and a prefix, without the characters of globs, queries and credentials.
_PLACE = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}(/[A-Za-z0-9_=+.-]+)*")


@dataclass(frozen=True)
class RunsUrl:
    """A prefix in an object store: ``s3://bucket/prefix``. It contains no secret."""

    #: Without a slash at the end.
    url: str
    #: What only this host needs: the files of trackers, and logs of launches in the background.
    local: Path

    def __str__(self) -> str:
        return self.url

    @property
    def protocol(self) -> str:
        """The part before the colon: ``s3``."""
        return self.url.partition("://")[0]


#: The type of every parameter ``runs``.
Runs: TypeAlias = Path | RunsUrl


def parse_runs(text: str | Runs) -> Runs:
    """Return the runs place that an option, a variable or an argument names.

    Args:
        text: A path, ``file:///FOLDER``, ``s3://BUCKET/PREFIX`` or ``gs://BUCKET/PREFIX``.

    Raises:
        UserError: It is a URL of another kind, or contains more than a bucket and a prefix. The
            message doesn't show a URL that may contain a secret.
    """
    if not isinstance(text, str):
        return text
    protocol, separator, rest = text.partition("://")
    if not separator:
        return Path(os.path.expanduser(text))  # noqa: PTH111 - leaves an unknown user's as it is
    rule = (
        "--runs (HPSEARCH_RUNS) must be a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
        "file:///FOLDER"
    )
    if any(mark in rest for mark in "@?#"):
        raise UserError(
            f"{rule}, but this {protocol}:// URL has credentials or options in it; set them in the "
            "environment, as the AWS tools do (AWS_PROFILE, AWS_ENDPOINT_URL, ...)"
        )
    if protocol == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or len(parts.path) < 2:
            raise UserError(f"{rule}, but {text!r} has no path after three slashes")
        return Path(unquote(parts.path))
    where = rest.rstrip("/")
    if protocol not in PACKAGES:
        raise UserError(f"{rule}, but {protocol}:// was given")
    if not _PLACE.fullmatch(where) or {".", ".."} & set(where.split("/")):
        raise UserError(
            f"{rule}, but {text!r} isn't a bucket and a prefix of letters, digits and _ = + . -"
        )
    return RunsUrl(f"{protocol}://{where}", DEFAULT_FOLDER.absolute())


def local_folder(runs: Runs) -> Path:
    """Return the folder of what only this host needs; for a local place it is the place."""
    return runs if isinstance(runs, Path) else runs.local


def absolute(runs: Runs) -> Runs:
    """Return the same place for processes with another current folder."""
    return runs.absolute() if isinstance(runs, Path) else runs


def is_shared(runs: Runs) -> bool:
    """Whether all hosts surely see the same files. A folder may be shared: that isn't known."""
    return isinstance(runs, RunsUrl)
