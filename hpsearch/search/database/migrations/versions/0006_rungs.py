"""The rung at which a trial waits, so that the best that wait there can be promoted."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; earlier trials were stopped and never wait, or the audit kept them."""
    op.add_column("hpsearch_tickets", sa.Column("rung", sa.Integer(), nullable=True))
    op.add_column("hpsearch_tickets", sa.Column("audited_from", sa.Integer(), nullable=True))
    events = sa.table(
        "hpsearch_events",
        sa.column("study_id"),
        sa.column("ticket"),
        sa.column("kind"),
        sa.column("detail"),
    )
    tickets = sa.table(
        "hpsearch_tickets",
        sa.column("study_id"),
        sa.column("ticket"),
        sa.column("audited_from"),
    )
    connection = op.get_bind()
    spared = sa.select(events.c.study_id, events.c.ticket, events.c.detail).where(
        events.c.kind == "spared"
    )
    for study_id, ticket, detail in connection.execute(spared).all():
        try:
            epoch = int(json.loads(detail)["epoch"])
        except (ValueError, KeyError, TypeError):
            continue  # a damaged event; the doctor names it
        connection.execute(
            sa.update(tickets)
            .where(tickets.c.study_id == study_id, tickets.c.ticket == ticket)
            .values(audited_from=epoch)
        )
