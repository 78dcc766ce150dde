"""Trials that the budget gets back for invalid ones."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no study has been granted a trial before."""
    op.add_column(
        "hpsearch_studies",
        sa.Column("granted", sa.Integer(), server_default="0", nullable=False),
    )
