"""The rung at which a trial waits, so that the best that wait there can be promoted."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; trials from before were stopped and never wait."""
    op.add_column("hpsearch_tickets", sa.Column("rung", sa.Integer(), nullable=True))
    op.add_column("hpsearch_tickets", sa.Column("audited_from", sa.Integer(), nullable=True))
