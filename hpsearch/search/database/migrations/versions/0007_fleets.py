"""The fleets of workers that engines keep alive."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "hpsearch_fleets",
        sa.Column("fleet_key", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=32), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("launched_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("fleet_key"),
    )
    op.create_index("hpsearch_fleets_by_study", "hpsearch_fleets", ["study_id"])
