"""The winner on the test images: the figures are right, and every look is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.trials import SmallSearch

from hpsearch.errors import CheckpointError, DataError, UserError
from hpsearch.results import final_evaluations
from hpsearch.results.export.frozen import export_trial
from hpsearch.results.ranking import best
from hpsearch.training.data import prepare as prepare_module
from hpsearch.training.data.prepare import prepare
from hpsearch.training.registries import MODELS
from hpsearch.workers.trial.run_folder import RunFolder
from hpsearch.workers.winner.final_evaluation import evaluate_winner


def evaluated(search: SmallSearch) -> final_evaluations.FinalEvaluation:
    return evaluate_winner(
        search.database,
        search.record(),
        search.study,
        runs=search.runs,
        device="cpu",
        data=search.data,
    )


def counted(search: SmallSearch) -> list[final_evaluations.FinalEvaluation]:
    return final_evaluations.evaluations(search.database, search.stored.study_id)


def test_the_figures_are_those_of_a_loop_written_by_hand(open_study) -> None:
    search = open_study()
    search.run_all()
    opening = evaluated(search)

    winner = best(search.record())
    assert winner is not None and winner.number == opening.trial
    config = search.study.trial_config(winner.params, winner.ticket)
    data = prepare(config.data, split_seed=config.split_seed, root=search.data)
    folder = RunFolder(search.runs, search.stored.name, search.stored.run_key)
    kept = folder.load_best(winner.number)
    model = MODELS.build(config.model, data.input_shape, 10)
    model.load_state_dict(kept["weights"])
    model.eval()
    images, labels = prepare_module.test_images(config.data, root=search.data)
    scaled = images.float() / 255
    shape = (1, -1, 1, 1)
    with torch.no_grad():
        logits = model((scaled - data.mean.view(shape)).div(data.std.view(shape)).float())
    assert opening.images == len(labels) == 355
    assert opening.accuracy == (logits.argmax(1) == labels).sum().item() / len(labels)
    assert opening.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert (opening.epoch, opening.class_names) == (kept["epoch"], list("0123456789"))
    assert torch.tensor(opening.confusion).sum(1).tolist() == labels.bincount().tolist()
    low, high = opening.interval
    assert low < opening.accuracy < high < 1


def test_every_look_is_counted_and_the_first_figure_is_kept(open_study) -> None:
    search = open_study()
    search.run_all()
    assert final_evaluations.summarize(counted(search)) is None
    first = evaluated(search)
    assert counted(search) == [first]
    evaluated(search)
    told = final_evaluations.summarize(counted(search))
    assert told == {"opened": 2, **first.metrics()}
    frozen = export_trial(search.database, search.record(), search.study)
    assert frozen.document["provenance"]["test"] == told


def test_a_search_never_opens_them(open_study, tmp_path, monkeypatch) -> None:
    opened: list[str] = []
    build = prepare_module.build_source

    def watched(*arguments, **keywords):
        source = build(*arguments, **keywords)
        read = source.test.read
        object.__setattr__(source.test, "read", lambda: opened.append("test") or read())
        return source

    monkeypatch.setattr(prepare_module, "build_source", watched)
    # Nothing is prepared there yet.
    search = replace(open_study(), data=tmp_path / "data")
    search.run_all()
    assert opened == []
    evaluated(search)
    assert opened == ["test"]


def test_a_study_at_work_is_refused_and_nothing_is_opened(open_study) -> None:
    search = open_study()
    claim = search.claim()
    assert claim is not None
    with pytest.raises(UserError, match="trials of study 'small' are running"):
        evaluated(search)
    assert counted(search) == []


def test_without_a_winner_or_its_weights_or_test_images_it_is_told(open_study, tmp_path) -> None:
    search = open_study()
    with pytest.raises(UserError, match="only a complete trial can be evaluated"):
        evaluated(search)
    search.run_all()
    winner = best(search.record())
    assert winner is not None and winner.number is not None
    folder = RunFolder(search.runs, search.stored.name, search.stored.run_key)
    (folder.trial(winner.number) / "best.pt").unlink()
    with pytest.raises(CheckpointError, match=r"best\.pt can't be read"):
        evaluated(search)
    assert counted(search) == []


def test_a_source_without_test_images_is_named(open_study, tmp_path) -> None:
    from PIL import Image

    for name, shade in (("dark", 10), ("light", 240)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            picture = Image.new("L", (8, 8), shade + number % 5)
            picture.save(tmp_path / "pictures" / name / f"{number}.png")
    search = open_study(
        f"data={{source: {{image_folder: {{path: {tmp_path}/pictures}}}}}}", "batch_size=4"
    )
    search.run_all()
    with pytest.raises(
        DataError, match="'image_folder' has none here; set test_fraction or test_path"
    ):
        evaluated(search)
    assert counted(search) == []
