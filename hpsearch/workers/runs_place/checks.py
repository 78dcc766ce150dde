"""Whether a runs place by URL can be used."""

from __future__ import annotations

from uuid import uuid4

from hpsearch.errors import RunsUnreachable
from hpsearch.workers.runs_place.objects import Objects
from hpsearch.workers.runs_place.place import RunsUrl

#: The prefix of checks, beside those of the studies: no study's name has a dot.
_FOLDER = ".hpsearch"


def require_usable(place: RunsUrl) -> None:
    """Write, list, read and remove a small object, as workers will do.

    Raises:
        UserError: A package for the URL isn't installed.
        RunsUnreachable: The object store can't be used with these credentials, or not now.
    """
    objects, name = Objects(place, _FOLDER), f"check-{uuid4().hex}"
    objects.write(name, b"hpsearch")
    try:
        if objects.sizes().get(name) != len(objects.read(name)):
            raise RunsUnreachable(
                f"the runs place {place} must list an object as soon as it is written, but it "
                "doesn't; use a store with strong consistency"
            )
    finally:
        objects.remove(name)
