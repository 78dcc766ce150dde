"""What the notes tell, and that other people's words stay words in them."""

from __future__ import annotations

from typing import Any

import pytest
from support.wsgi import ask

from hpsearch.dashboard.app import application
from hpsearch.results.markdown import block, code, words
from hpsearch.search.database.tables import studies as studies_table
from hpsearch.search.ledger import validity


def notes_of(searched: Any) -> tuple[str, list[str]]:
    path = f"/api/studies/{searched.stored.study_id}"
    detail = ask(application(searched.database), path).json
    return detail["note"]["body"], [each["note"]["body"] for each in detail["trials"]]


def test_the_study_s_note(searched: Any) -> None:
    note, _ = notes_of(searched)
    assert note.startswith("## made\\_up\n\nfigures that nobody trained\n\n")
    assert (
        "The best seen is line \\(trial 2\\)\\: "
        "val\\_accuracy 80\\.00 \\%\\, not confirmed \\(one seed\\," in note
    )
    assert "[Report](/report/made_up)" in note
    assert "hpsearch confirm --study made_up" in note
    assert "hpsearch export --study made_up --out best.yaml" in note


def test_the_trials_notes(searched: Any) -> None:
    _, notes = notes_of(searched)
    assert notes[0].startswith("**Complete**, rank 3 of 3.")
    assert "70.00 % after the last epoch, best 90.00 % at epoch 2" in notes[0]
    assert notes[1].startswith("**Can't be built**, so it was never trained")
    assert "64 \\> 8" in notes[1]
    assert notes[2].startswith("**Complete**, rank 1 of 3.")
    assert "`best.pt`" in notes[2]
    assert "`best.pt`" not in notes[4]
    assert notes[3].startswith("**Pruned** after epoch 2: ")
    assert notes[5].startswith("**Failed** after 1 epochs.")
    assert "RuntimeError\\: \\[red\\]poison\\[\\/red\\]" in notes[5]
    assert notes[6].startswith("**Running**, epoch 0 of 3 done")
    assert "(/artifacts/1/3/1-3-a)" in notes[2]
    assert "hpsearch show --study made_up 2" in notes[2]


def test_why_a_trial_is_invalid(searched: Any) -> None:
    validity.invalidate(
        searched.database, searched.stored.study_id, 2, "the [labels](x) were wrong"
    )
    _, notes = notes_of(searched)
    assert notes[2].startswith("**Invalid** (it was complete): the \\[labels\\]\\(x\\) were wrong")


def test_a_note_that_somebody_has_written_stays(searched: Any) -> None:
    import optuna
    from optuna_dashboard import save_note
    from support.ledger import optuna_storage

    theirs = optuna.load_study(study_name="made_up", storage=optuna_storage(searched.database))
    save_note(theirs, "what I think of it")
    note, _ = notes_of(searched)
    assert note.endswith("\n\n---\n\nwhat I think of it")


HOSTILE = "<script>alert(1)</script> ![x](//evil) [y](javascript:z) `a` # b\n\n```\n* \x1b[31m|"


def test_hostile_words_mean_nothing() -> None:
    written = words(HOSTILE)
    assert "\n" not in written
    assert "\x1b" not in written
    # Every sign that means something in Markdown or HTML has a backslash before it.
    for place, sign in enumerate(written):
        if sign in "<>![]()`#*|:/":
            assert written[place - 1] == "\\", written[:place]


@pytest.mark.parametrize("text", ["a", "a`b", "``", "a```b````c", "\n```\nx"])
def test_code_ends_where_it_should(text: str) -> None:
    made = block(text)
    fence = made.partition("text\n")[0]
    assert set(fence) == {"`"}
    assert len(fence) >= 3
    assert fence not in text
    assert made.endswith("\n" + fence)
    inline = code(text)
    assert inline.startswith("`")
    assert inline.count("\n") == 0


def test_a_hostile_description_and_error(searched: Any) -> None:
    import json

    import sqlalchemy as sa

    document = {**searched.stored.document, "description": HOSTILE}

    def change(connection: Any) -> None:
        connection.execute(sa.update(studies_table).values(document=json.dumps(document)))

    searched.database.write(change)
    note, _ = notes_of(searched)
    assert "\\<script\\>" in note
    assert note.count("<script") == 1
    assert "](//evil" not in note
    assert "](javascript" not in note
