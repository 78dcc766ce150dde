"""Seeds as hashes of their origin, so that the seeds of neighbouring trials are unrelated."""

from __future__ import annotations

import hashlib


def hashed_seed(*origin: str | int, bits: int = 31) -> int:
    """Return the seed that follows from its origin: ``hashed_seed(7, "split", 3)``.

    Args:
        origin: What the seed is derived from, such as the study's seed, a purpose and a ticket.
        bits: The size of the result, at most 256.

    Returns:
        A number from 0 to ``2**bits - 1``: the leading bits of a SHA-256. It must never change,
        since stored studies train with it.
    """
    digest = hashlib.sha256("/".join(map(str, origin)).encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - bits)
