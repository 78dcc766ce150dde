"""`hpsearch invalidate`: what it says, and what other commands say afterwards."""

from __future__ import annotations

import pytest

WHY = "wrong \x1b[31mlabels"


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


@pytest.fixture
def ask(hpsearch, searched):
    return lambda command, *options: hpsearch(
        command, "--study", "made_up", "--storage", searched.url, *options
    )


def test_it_says_what_follows(ask):
    ran = ask("invalidate", "2", "--reason", WHY)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "made_up: trial 2 (complete) is invalid: wrong \ufffd[31mlabels",
        "It has no rank any more, and the sampler ignores it; `--undo` declares it valid again",
        "It still uses one of the budget's 6 trials (--again adds one more)",
        "Best now: trial 4 (80.00 %)",
    ]
    undone = ask("invalidate", "2", "--undo").out
    again = "made_up: trial 2 is complete again, and it counts"
    assert undone == f"{again}\nBest now: trial 2 (80.00 %)\n"


def test_a_trial_that_was_granted_is_launched_and_one_taken_back_is_not(ask):
    granted = ask("invalidate", "2", "--reason", WHY, "--again").out
    assert "The budget is 7 trials instead of 6: launch the study again\n" in granted
    undone = ask("invalidate", "2", "--undo").out
    assert "The budget is 6 trials instead of 7\n" in undone


def test_the_others_say_so_too(ask):
    told = ask("invalidate", "2", "--reason", WHY, "--again", "--json").json
    assert told["invalid"]["was"] == "complete"
    assert (told["state"], told["budget"], told["best"]["number"]) == ("invalid", 7, 4)
    status = ask("status")
    assert "5 of 7 trials finished" in status.out
    assert "0 paused, 1 declared invalid; 1 infeasible draws" in status.out
    assert "  trial 2 (complete) is invalid: wrong \ufffd[31mlabels\n" in status.out
    counts = ask("status", "--json").json
    assert counts["trials"]["invalid"] == 1
    assert counts["invalid"][0]["reason"] == WHY
    page = ask("show", "2")
    assert "declared invalid 20" in page.out
    assert "(it was complete): wrong \ufffd[31mlabels" in page.out
    assert ask("show", "2", "--json").json["invalid"]["reason"] == WHY
    rows = {row["number"]: row for row in ask("show", "--json").json}
    assert (rows[2]["rank"], rows[2]["state"], rows[2]["invalid"]) == (None, "invalid", WHY)
    assert "\x1b" not in status.out + page.out + ask("show").out


def test_it_is_exported_only_by_name_and_with_the_reason(ask, here):
    ask("invalidate", "2", "--reason", WHY)
    assert "trial 4 of study made_up, UNCONFIRMED" in ask("export", "--out", "best.yaml").out
    named = ask("export", "--trial", "2", "--out", "named.yaml")
    assert "THIS TRIAL WAS DECLARED INVALID on 20" in named.out
    text = (here / "named.yaml").read_text()
    assert "DECLARED INVALID" in text.split("\nstudy:")[0].replace("\n# ", " ")
    assert "rank: null" in text or "rank:\n" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("2",), "--reason"),
        (("2", "--undo", "--reason", "x"), "takes no --reason and no --again"),
        (("2", "--undo", "--again"), "takes no --reason and no --again"),
        (("2", "--undo"), "only an invalid trial can be reinstated, but this one is complete"),
        (("99", "--reason", "x"), "unknown trial of study 'made_up' '99'"),
        (("1", "--reason", "x"), "unknown trial of study 'made_up' '1'"),
        (("6", "--reason", "x"), "is running. Stop it first"),
        (("2", "--reason", "  "), "must explain why the value can't be trusted"),
    ],
)
def test_what_is_wrong_is_said(ask, options, says):
    ran = ask("invalidate", *options)
    assert ran.code == 2
    assert says in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
