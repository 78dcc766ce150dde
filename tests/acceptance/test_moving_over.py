"""The pages for people who come from another tool, and that on Python: their code runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hpsearch.openmp import PASSIVE
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database

DOCS = Path(__file__).parents[2] / "docs"


def files_of(page: str) -> dict[str, str]:
    """Return name -> contents of the page's files; the first line of a block is its name."""
    blocks = re.findall(
        r"^```(?:python|yaml)\n# (\w+\.\w+)\n(.*?)^```$",
        (DOCS / page).read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert len(blocks) == (DOCS / page).read_text().count("```") // 2
    return dict(blocks)


def run(file: str, folder: Path) -> str:
    """Run a file of a page as a reader does, and return what it prints."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH")}
    ran = subprocess.run(
        [sys.executable, file],
        cwd=folder,
        env={
            **clean,
            **PASSIVE,
            "PYTHONPATH": str(DOCS.parent),
            "HPSEARCH_DATA": str(folder / "data"),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("page", "study"),
    [
        ("from-optuna.md", "from_optuna"),
        ("from-wandb-sweeps.md", "from_sweeps"),
        ("from-ray-tune.md", "from_tune"),
    ],
)
def test_the_example_searches_what_the_other_tool_searched(page, study, tmp_path):
    for name, contents in files_of(page).items():
        (tmp_path / name).write_text(contents)
    printed = run("after.py", tmp_path)

    database = Database(f"sqlite:///{tmp_path / 'hpsearch.db'}")
    try:
        record = read_study(database, study)
    finally:
        database.close()
    assert record.is_finished
    assert (record.study.trial_budget, record.counts.finished) == (4, 4)
    best = max(each.value for each in record.trials if each.value is not None)
    assert 0.2 < best <= 1
    assert printed.strip()
    if study == "from_optuna":  # which reads the study, too
        ours, theirs = printed.splitlines()
        assert ours.partition(" ")[0] == theirs.partition(" ")[0]  # the best value


def test_the_optuna_script_of_the_page_runs(tmp_path):
    (tmp_path / "before.py").write_text(files_of("from-optuna.md")["before.py"])
    printed = run("before.py", tmp_path)
    assert {"width", "lr", "batch_size"} <= set(re.findall(r"'(\w+)'", printed))


def test_the_page_on_python_makes_a_study_from_a_dict_and_uses_its_model(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / "python.md").read_text(), re.M | re.S)
    (from_a_dict,) = (each for each in blocks if "open_study(\n    {" in each)
    (use,) = (each for each in blocks if "load_model(" in each and "open_study" not in each)
    (tmp_path / "photos").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "page.py").write_text(f"{from_a_dict}\nstudy.export('best')\n{use}\nprint(logits)")
    printed = run("page.py", tmp_path)
    assert "not confirmed (one seed" in printed
    assert "('0', '1', '2', '3', '4', '5', '6', '7', '8', '9') (1, 8, 8)" in printed
    assert "a.png" in printed and "tensor(" in printed


def launched(study: str, folder: Path, *options: str) -> str:
    """Launch a study of a page as a reader does, and return what is printed."""
    command = [sys.executable, "-m", "hpsearch", "launch", "--study", study, *options]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH")}
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**clean, "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_an_optuna_script_moves_over_in_fifteen_lines(tmp_path):
    files = files_of("own-loop.md")
    for name, contents in files.items():
        (tmp_path / name).write_text(contents)
    before, after = (files[name].splitlines() for name in ("before.py", "after.py"))
    added = [line for line in after if line.strip() and line not in before]
    assert len(added) <= 15
    assert "'lr'" in run("before.py", tmp_path)
    printed = launched("curve.yaml", tmp_path, "--confirm", "--workers", "1")
    assert re.search(r"confirmed with \d+ fresh seeds", printed)


def test_the_trainer_loop_of_the_page_continues_after_an_epoch(tmp_path):
    pytest.importorskip("transformers", reason="transformers isn't installed")
    for name, contents in files_of("own-loop.md").items():
        (tmp_path / name).write_text(contents)
    (tmp_path / "resume.py").write_text(RESUME)
    assert "as without a pause" in run("resume.py", tmp_path)


RESUME = """
from hpsearch.training.loops import LoopContext
from trainer_loop import hf_trainer

def epochs(state):
    context = LoopContext(device="cpu", seed=3, epochs=3, state=state, should_stop=lambda: False)
    return [(each.metrics, each.state()) for each in hf_trainer(context, lr=0.01)]

whole = epochs(None)
again = epochs(whole[0][1])
assert len(whole) == 3 and [each for each, _ in again] == [each for each, _ in whole[1:]]
assert len({each["val_loss"] for each, _ in whole}) == 3
print("as without a pause")
"""


def test_the_lightning_loop_of_the_page_trains(tmp_path):
    pytest.importorskip("lightning")
    for name, contents in files_of("own-loop.md").items():
        (tmp_path / name).write_text(contents)
    printed = launched("lightning.yaml", tmp_path, "--workers", "1")
    assert "4 of 4 trials" in printed
    assert "0 failed" in printed
