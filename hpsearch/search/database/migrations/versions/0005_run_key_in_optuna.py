"""Optuna's study names the study of ours that it belongs to.

Without it a study that another program creates under the id and the name of one that was deleted
would be taken for ours.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Write the run keys of the studies that are there; left-overs get none."""
    op.execute(
        "INSERT INTO study_system_attributes (study_id, key, value_json) "
        "SELECT ours.study_id, 'hpsearch:run_key', '\"' || ours.run_key || '\"' "
        "FROM hpsearch_studies AS ours JOIN studies AS theirs "
        "ON theirs.study_id = ours.study_id AND theirs.study_name = ours.name "
        "WHERE NOT EXISTS (SELECT 1 FROM study_system_attributes AS known "
        "WHERE known.study_id = ours.study_id AND known.key = 'hpsearch:run_key')"
    )
