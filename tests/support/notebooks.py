"""Running the notebook of the docs; ``python tests/support/notebooks.py`` stores its outputs."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def read(path: Path = NOTEBOOK) -> NotebookNode:
    """Return a notebook as it is stored."""
    return nbformat.read(path, as_version=4)


def executed(folder: Path, path: Path = NOTEBOOK, timeout: int = 240) -> NotebookNode:
    """Run every cell in a kernel of its own whose current folder is ``folder``."""
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: NotebookNode) -> str:
    """Return all that a cell's outputs say, pictures left out."""
    said = []
    for output in cell.outputs:
        said.append(output.get("text", ""))
        said += [str(each) for kind, each in output.get("data", {}).items() if "image" not in kind]
    return "\n".join(said)


def store() -> None:
    """Run the notebook and write it with its outputs, without what only this run had."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(Path(folder))
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.outputs:
            output.get("metadata", {}).clear()
            output.pop("transient", None)
            if output.output_type == "stream":
                output.text = re.sub(re.escape(folder), ".", output.text)
            kept.append(output)
        cell.outputs = kept
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
    store()
