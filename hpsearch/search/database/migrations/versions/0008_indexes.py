"""Indexes for the questions that workers repeat, so that their cost doesn't grow with a study."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes, and drop those that they replace."""
    op.create_index(
        "hpsearch_tickets_by_state_and_study",
        "hpsearch_tickets",
        ["state", "study_id", "number"],
    )
    op.drop_index("hpsearch_tickets_by_state", "hpsearch_tickets")
    op.create_index(
        "hpsearch_tickets_audited",
        "hpsearch_tickets",
        ["study_id"],
        sqlite_where=sa.text("audited_from IS NOT NULL"),
        postgresql_where=sa.text("audited_from IS NOT NULL"),
    )
    op.create_index(
        "hpsearch_events_by_ticket_and_id", "hpsearch_events", ["study_id", "ticket", "event_id"]
    )
    op.drop_index("hpsearch_events_by_ticket", "hpsearch_events")
    op.create_index("hpsearch_events_by_study", "hpsearch_events", ["study_id", "event_id"])
    op.create_index("hpsearch_events_by_kind", "hpsearch_events", ["study_id", "kind"])
