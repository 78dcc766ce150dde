"""The notebook of the docs runs as it stands, and a launch in a kernel heeds the stop button."""

from __future__ import annotations

import json
import time
from pathlib import Path
from queue import Empty

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from jupyter_client.manager import start_new_kernel
from support.notebooks import NOTEBOOK, code_cells, executed, read, texts

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")

#: Long enough to be interrupted, short enough to go on.
LAUNCH = """
import hpsearch
study = hpsearch.open_study("quickstart", storage="sqlite:///notebook.db")
outcome = study.launch(workers=2, trials=60, epochs=9, checkpoint_seconds=0)
print(outcome.reason, study.status["trials"])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("HPSEARCH_STORAGE", "HPSEARCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_notebook_runs_and_its_outputs_are_real(folder):
    """Every cell runs; what is stored is what a run says, and small."""
    stored, ran = code_cells(read()), code_cells(executed(folder))
    for before, now in zip(stored, ran, strict=True):
        assert before.source == now.source
        kinds = [output.output_type for output in now.outputs]
        assert "error" not in kinds
        assert [output.output_type for output in before.outputs] == kinds, before.source
    said = "\n".join(map(texts, ran))
    assert "10 of 10 trials" in said
    assert "UNCONFIRMED" in said
    assert "'history-epochs'" in said
    assert "'invalid': 1" in said
    assert "unknown study 'quikstart'" in said
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 150_000
    assert "/tmp" not in text and str(Path.home()) not in text
    assert json.loads(text)["nbformat"] == 4


def test_an_interrupt_pauses_and_the_same_cell_goes_on(folder):
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        asked = client.execute(LAUNCH)
        _wait_for(client, asked, "finished at epoch")
        manager.interrupt_kernel()
        assert "interrupted" in (first := _wait_for(client, asked, "'total'"))
        assert "'running': 0" in first
        assert "'paused': 0" not in first
        asked = client.execute(LAUNCH)
        _wait_for(client, asked, "continues after epoch")
        manager.interrupt_kernel()
        assert "interrupted" in _wait_for(client, asked, "'total'")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _wait_for(client, asked: str, wanted: str, seconds: float = 120.0) -> str:
    """Return all that a cell has said by the time that it says ``wanted``."""
    said, until = "", time.monotonic() + seconds
    while wanted not in said:
        assert time.monotonic() < until, said
        try:
            message = client.get_iopub_msg(timeout=1.0)
        except Empty:
            continue
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        assert message["msg_type"] != "error", content
        said += content.get("text", "") + str(content.get("data", {}).get("text/html", ""))
    return said
