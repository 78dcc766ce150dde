"""The ledger's tables. They are beside Optuna's, with no foreign keys into them.

(A foreign key into Optuna's ``trials`` makes Postgres lock Optuna's row for every write of ours.)
``migrations/`` creates them; a test asserts that both are the same.
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

metadata = sa.MetaData()


class TicketState(StrEnum):
    """The state of a ticket, one logical trial."""

    #: A worker holds the lease.
    RUNNING = "running"
    #: No worker holds it. Without a ``rung`` it was lost or given back, and the next worker
    #: continues from its checkpoint; with one it waits there to be promoted.
    PAUSED = "paused"
    #: Trained to its last epoch, or to the one at which it stopped early.
    COMPLETE = "complete"
    #: Stopped early by the pruner.
    PRUNED = "pruned"
    #: Ended by the error in ``last_error``.
    FAILED = "failed"
    #: Complete or pruned, and then declared invalid: its value can't be trusted (``validity``).
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
    #: The study file as it was written, and normalised (JSON).
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    #: The budget: the number of tickets that may exist.
    sa.Column("trials", sa.Integer, nullable=False),
    #: More tickets, one for each invalid trial that is replaced. Apart from ``trials``, which
    #: every launch sets anew.
    sa.Column("granted", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epochs_per_trial", sa.Integer, nullable=False),
    #: How often `stop` was called; a worker stops if it grows beyond its value at the start.
    sa.Column("stops", sa.Integer, nullable=False, server_default="0"),
    #: The next point of an enumerated space (grid, QMC).
    sa.Column("next_point", sa.Integer, nullable=False, server_default="0"),
    #: Whether an enumerated space has no point left; then fewer tickets than ``trials`` exist.
    sa.Column("exhausted", sa.Boolean, nullable=False, server_default=sa.false()),
    #: Names the study's folder under the runs root: two databases may have studies of one name.
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
    #: The fencing token: grows with every claim; a write with an older one is refused.
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(128)),
    #: Identifies one call of ``claim``, which finds its ticket again if the answer was lost.
    sa.Column("claim_key", sa.String(32), nullable=False),
    #: Grows with every renewal; a lease is free if it didn't change for ``lease_seconds``.
    sa.Column("renewals", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_seconds", sa.Float, nullable=False),
    #: Optuna's row, created when the whole configuration is drawn.
    sa.Column("trial_id", sa.Integer),
    sa.Column("number", sa.Integer),
    sa.Column("params", sa.Text),
    #: The point of an enumerated space that this ticket got.
    sa.Column("point", sa.Integer),
    #: Infeasible draws recorded before a feasible one was found.
    sa.Column("infeasible", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epochs_done", sa.Integer, nullable=False, server_default="0"),
    #: The rung at which it waits (PAUSED) or has ended (PRUNED), if the pruner promotes trials.
    sa.Column("rung", sa.Integer),
    #: The rung at which the trial would have waited without the pruning audit.
    sa.Column("audited_from", sa.Integer),
    #: The objective after the last epoch done, and the best of all epochs.
    sa.Column("value", sa.Float),
    sa.Column("best_value", sa.Float),
    sa.Column("best_epoch", sa.Integer),
    #: Metric -> value (JSON) of a trial that has ended, in a study of several objectives or with
    #: constraints: each objective and each metric with a bound.
    sa.Column("figures", sa.Text),
    #: Seconds of training, including the epochs that lost attempts reported.
    sa.Column("compute_seconds", sa.Float, nullable=False, server_default="0"),
    #: Relative to the runs root.
    sa.Column("checkpoint", sa.String(255)),
    sa.Column("checkpoint_sha256", sa.String(64)),
    sa.Column("checkpoint_epoch", sa.Integer),
    #: Failed attempts since the last new epoch.
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    # The unfinished trials of a study, and of all: few, however many have ended. The number is for
    # workers that ask which of the trials on their disk have ended.
    sa.Index("hpsearch_tickets_by_state_and_study", "state", "study_id", "number"),
    sa.Index(
        "hpsearch_tickets_audited",
        "study_id",
        sqlite_where=sa.text("audited_from IS NOT NULL"),
        postgresql_where=sa.text("audited_from IS NOT NULL"),
    ),
)

epochs = sa.Table(
    "hpsearch_epochs",
    metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ticket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    #: The objective at this epoch; the pruners compare it.
    sa.Column("value", sa.Float, nullable=False),
    #: Empty if the study's own training loop doesn't measure them.
    sa.Column("train_loss", sa.Float),
    sa.Column("train_accuracy", sa.Float),
    sa.Column("val_loss", sa.Float),
    sa.Column("val_accuracy", sa.Float),
    sa.Column("val_macro_f1", sa.Float),
    sa.Column("val_balanced_accuracy", sa.Float),
    sa.Column("lr", sa.Float),
    #: Of the whole epoch, and of its validation.
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("val_seconds", sa.Float),
    #: The decision after this epoch: continue, paused, pruned or complete. It is made once.
    sa.Column("decision", sa.String(16), nullable=False),
    #: Metric -> value (JSON) of the metrics that only some studies measure.
    sa.Column("others", sa.Text),
    # Pruners read the values of the other trials at this epoch.
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
    #: The writer's clock, ISO 8601, UTC: for people to read, never compared.
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text, nullable=False, server_default="{}"),
    # The newest event of a ticket and of a study, and the few of some kinds.
    sa.Index("hpsearch_events_by_ticket_and_id", "study_id", "ticket", "event_id"),
    sa.Index("hpsearch_events_by_study", "study_id", "event_id"),
    sa.Index("hpsearch_events_by_kind", "study_id", "kind"),
)

prior_results = sa.Table(
    "hpsearch_knowledge",
    metadata,
    sa.Column("lesson_id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False),
    #: SHA-256 of parameters and outcome, so that no result is stored twice.
    sa.Column("key", sa.String(64), nullable=False),
    #: Where it comes from, for people: the name of a file or a study, and the place in it.
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("place", sa.String(64), nullable=False),
    #: Path -> stored value (JSON).
    sa.Column("params", sa.Text, nullable=False),
    #: ``values`` by objective, and ``constraints`` by name: the violations (JSON).
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.UniqueConstraint("study_id", "key"),
)

fleets = sa.Table(
    "hpsearch_fleets",
    metadata,
    #: Names it in its engine, too, so that it is found again from any host.
    sa.Column("fleet_key", sa.String(64), primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("profile", sa.String(64), nullable=False),
    #: How many workers are wanted.
    sa.Column("workers", sa.Integer, nullable=False),
    #: The settings of the profile, and how trials are run (JSON); no secret.
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("launched_at", sa.String(32), nullable=False),
    sa.Index("hpsearch_fleets_by_study", "study_id"),
)
