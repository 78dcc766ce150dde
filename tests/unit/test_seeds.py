"""Seeds are stored values: a changed one would train every stored study differently."""

from __future__ import annotations

import pytest

from hpsearch.search.ledger.decision import AuditSample
from hpsearch.seeds import hashed_seed
from hpsearch.study_file.trial_config import confirming_seed, trial_seed
from hpsearch.training.randomness import derived_seed
from hpsearch.workers.retraining.assignment import seed_number


@pytest.mark.parametrize(
    ("seed", "stored"),
    [
        (trial_seed(7, 3), 849297907),
        (confirming_seed(7, 2, "split"), 1279485048),
        (seed_number(7, 2), 1281164121),
        (hashed_seed(7, "round", 2), 2052061131),  # a model of a cross-validation
        (hashed_seed(7, "split", 2), 1182097236),
        (hashed_seed(7, 3, 1, 0, bits=32), 634261673),  # a draw
        (derived_seed(7, "dropout", 2), 7683638620700287174),
        (derived_seed(7, "order", 1), 8503990682740509027),
    ],
)
def test_seeds_are_those_of_every_earlier_version(seed: int, stored: int) -> None:
    assert seed == stored


def test_the_audit_keeps_the_same_tickets_as_every_earlier_version() -> None:
    assert [ticket for ticket in range(1, 61) if AuditSample(0.1, 7).keeps(ticket)] == [
        *(9, 13, 18, 24, 39, 52, 57)
    ]
    # Nothing is rounded at the ends
    assert not any(map(AuditSample(0.0, 7).keeps, range(1, 61)))
    assert all(map(AuditSample(1.0, 7).keeps, range(1, 61)))


@pytest.mark.parametrize("bits", [31, 32, 63, 64])
def test_a_seed_uses_all_its_bits_and_no_more(bits: int) -> None:
    seeds = [hashed_seed(7, ticket, bits=bits) for ticket in range(200)]
    assert len(set(seeds)) == 200
    assert max(each.bit_length() for each in seeds) == bits
