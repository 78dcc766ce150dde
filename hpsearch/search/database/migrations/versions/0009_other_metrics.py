"""Metrics that only some studies measure, and epochs without those that most studies measure."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: What a study with a training loop of its own may not measure.
_OPTIONAL = (
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "val_macro_f1",
    "val_balanced_accuracy",
    "lr",
    "val_seconds",
)


def upgrade() -> None:
    """Add the column, and allow empty ones. (SQLite copies the table for that, once.)"""
    with op.batch_alter_table("hpsearch_epochs") as table:
        table.add_column(sa.Column("others", sa.Text(), nullable=True))
        for name in _OPTIONAL:
            table.alter_column(name, existing_type=sa.Float(), nullable=True)
