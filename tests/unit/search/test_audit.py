"""Which tickets an audit spares: the stated share, told by study seed and ticket alone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hpsearch.search.ledger.decision import AuditSample


def among(audit: AuditSample, tickets: Iterable[int]) -> list[int]:
    return [ticket for ticket in tickets if audit.keeps(ticket)]


@pytest.mark.parametrize("share", [0.03, 0.5])
def test_about_the_stated_share_is_spared(share: float) -> None:
    spared = among(AuditSample(share, seed=1), range(1, 20_001))
    assert len(spared) == pytest.approx(20_000 * share, rel=0.1)


def test_seed_and_ticket_alone_decide() -> None:
    one, same, other = AuditSample(0.1, 1), AuditSample(0.1, 1), AuditSample(0.1, 2)
    numbers = range(1, 2001)
    in_turn = [ticket for ticket in numbers if one.keeps(ticket)]
    assert among(same, numbers) == in_turn
    assert among(other, numbers) != in_turn
    assert set(in_turn) <= set(among(AuditSample(0.2, 1), numbers)), (
        "a larger share adds to a smaller"
    )


def test_none_and_all() -> None:
    assert among(AuditSample(0.0), range(1, 100)) == []
    assert AuditSample().keeps(1) is False
    assert among(AuditSample(1.0), [3, 7]) == [3, 7]
