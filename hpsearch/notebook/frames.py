"""A study's trials and epochs as pandas frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.reporting.analysis.table import columns, epoch_table, trial_table
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database

if TYPE_CHECKING:
    import pandas as pd

#: The first columns of a frame of curves; the other metrics of an epoch follow.
_CURVES = (
    "trial",
    "epoch",
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "seconds",
)


def trials(database: Database, record: StudyRecord) -> pd.DataFrame:
    """Return one row per trial, by its number."""
    import pandas as pd

    names = columns(database, record)
    frame = pd.DataFrame(trial_table(database, record), columns=names, dtype=object)
    # Integers stay integers if a branch leaves some out
    return frame.convert_dtypes().set_index("number").rename_axis("trial")


def curves(database: Database, record: StudyRecord) -> pd.DataFrame:
    """Return one row per trial and epoch."""
    import pandas as pd

    epochs = epoch_table(database, record)
    table = pd.DataFrame({"trial": epochs.pop("number"), **epochs})
    rest = [name for name in table.columns if name not in (*_CURVES, "ticket")]
    return table[[*_CURVES, *rest]]
