"""The outcome of a trial, if more than one metric counts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; trials that ended before have none, and their studies need none."""
    op.add_column("hpsearch_tickets", sa.Column("figures", sa.Text(), nullable=True))
