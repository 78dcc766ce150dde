"""The ledger's tables. They stand next to Optuna's, with no foreign keys into them.

(A foreign key into Optuna's ``trials`` makes Postgres lock Optuna's row for every write of ours.)
``migrations/`` creates them; a test asserts that both say the same.
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

metadata = sa.MetaData()


class TicketState(StrEnum):
    """Where a ticket, one logical trial, stands."""

    #: A worker holds the lease.
    RUNNING = "running"
    #: Nobody holds it. Without a ``rung`` it was lost or given back, and the next worker goes on
    #: from its checkpoint; with one it waits there to be promoted.
    PAUSED = "paused"
    #: Trained to its last epoch, or to where it stopped early.
    COMPLETE = "complete"
    #: Stopped early by the pruning rule.
    PRUNED = "pruned"
    #: Ended by an error; ``last_error`` holds it.
    FAILED = "failed"
    #: Complete or pruned, and then declared invalid: its number can't be trusted (``validity``).
    INVALID = "invalid"

    @property
    def is_finished(self) -> bool:
        """Whether it never runs again."""
        return self in FINISHED


FINISHED = (
    TicketState.COMPLETE,
    TicketState.PRUNED,
    TicketState.FAILED,
    TicketState.INVALID,
)

studies = sa.Table(
    "hpsearch_studies",
    metadata,
    #: Optuna's study_id.
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    #: The study file: as written, and normalised (JSON).
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    #: The budget: tickets that may exist.
    sa.Column("trials", sa.Integer, nullable=False),
    #: Tickets beyond that, one for each invalid trial that is to be made up for. Apart from
    #: ``trials``, which every launch sets anew.
    sa.Column("granted", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epochs_per_trial", sa.Integer, nullable=False),
    #: How often `stop` was asked for; a worker stops when it grows beyond what it saw at its start.
    sa.Column("stops", sa.Integer, nullable=False, server_default="0"),
    #: The next point of an enumerated space (grid, QMC).
    sa.Column("next_point", sa.Integer, nullable=False, server_default="0"),
    #: Whether an enumerated space has no point left; then fewer tickets than ``trials`` exist.
    sa.Column("exhausted", sa.Boolean, nullable=False, server_default=sa.false()),
    #: Names the study's folder under the runs root: two databases may hold studies of one name.
    sa.Column("run_key", sa.String(16), nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
)

tickets = sa.Table(
    "hpsearch_tickets",
    metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    #: 1..budget.
    sa.Column("ticket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(16), nullable=False),
    #: The fencing token: grows with every claim; a write that names an older one is refused.
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(128)),
    #: Tells one claim call from another, so that a claim whose answer was lost is found again.
    sa.Column("claim_key", sa.String(32), nullable=False),
    #: Grows with every sign of life; a lease is free when it stood still for ``lease_seconds``.
    sa.Column("renewals", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_seconds", sa.Float, nullable=False),
    #: Optuna's row, created once the whole configuration is drawn.
    sa.Column("trial_id", sa.Integer),
    sa.Column("number", sa.Integer),
    sa.Column("params", sa.Text),
    #: The point of an enumerated space that this ticket was given.
    sa.Column("point", sa.Integer),
    #: Infeasible draws recorded before a feasible one was found.
    sa.Column("infeasible", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epochs_done", sa.Integer, nullable=False, server_default="0"),
    #: The rung that a promoting pruner hasn't let it pass: it waits there (PAUSED) or has ended
    #: there (PRUNED).
    sa.Column("rung", sa.Integer),
    #: The rung at which a trial would have waited that the pruning audit keeps alive.
    sa.Column("audited_from", sa.Integer),
    #: The objective after the last epoch done, and the best of all epochs.
    sa.Column("value", sa.Float),
    sa.Column("best_value", sa.Float),
    sa.Column("best_epoch", sa.Integer),
    #: Name -> number (JSON) of a trial that has ended, in a study of several objectives or with
    #: constraints: each objective and each figure with a bound.
    sa.Column("figures", sa.Text),
    #: Seconds of training, those of lost attempts that reported included.
    sa.Column("compute_seconds", sa.Float, nullable=False, server_default="0"),
    #: Relative to the runs root.
    sa.Column("checkpoint", sa.String(255)),
    sa.Column("checkpoint_sha256", sa.String(64)),
    sa.Column("checkpoint_epoch", sa.Integer),
    #: Attempts that ended badly since the last new epoch.
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Index("hpsearch_tickets_by_state", "study_id", "state"),
)

epochs = sa.Table(
    "hpsearch_epochs",
    metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ticket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    #: The objective at this epoch; what the pruning rules compare.
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("train_loss", sa.Float, nullable=False),
    sa.Column("train_accuracy", sa.Float, nullable=False),
    sa.Column("val_loss", sa.Float, nullable=False),
    sa.Column("val_accuracy", sa.Float, nullable=False),
    sa.Column("val_macro_f1", sa.Float, nullable=False),
    sa.Column("val_balanced_accuracy", sa.Float, nullable=False),
    sa.Column("lr", sa.Float, nullable=False),
    #: The whole epoch's, and those of its validation.
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("val_seconds", sa.Float, nullable=False),
    #: What was decided after this epoch: continue, paused, pruned or complete. Decided once.
    sa.Column("decision", sa.String(16), nullable=False),
    # The pruning rules ask: which values did the others have at this epoch?
    sa.Index("hpsearch_epochs_by_epoch", "study_id", "epoch"),
)

events = sa.Table(
    "hpsearch_events",
    metadata,
    sa.Column("event_id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False),
    sa.Column("ticket", sa.Integer),
    sa.Column("attempt", sa.Integer),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("owner", sa.String(128)),
    #: The writer's clock, ISO 8601, UTC: to be read by people, never compared.
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text, nullable=False, server_default="{}"),
    sa.Index("hpsearch_events_by_ticket", "study_id", "ticket"),
)

prior_results = sa.Table(
    "hpsearch_knowledge",
    metadata,
    sa.Column("lesson_id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False),
    #: SHA-256 of parameters and outcome: what is known already is not learned again.
    sa.Column("key", sa.String(64), nullable=False),
    #: Where it comes from, for people: a file's name, another study's; and where in that.
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("place", sa.String(64), nullable=False),
    #: Path -> stored value (JSON).
    sa.Column("params", sa.Text, nullable=False),
    #: ``values`` by objective, and ``constraints`` by name: the violations (JSON).
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.UniqueConstraint("study_id", "key"),
)
