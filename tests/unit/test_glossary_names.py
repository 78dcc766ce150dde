"""Names that were replaced by the field's words don't come back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hpsearch

ROOT = Path(hpsearch.__file__).parent

#: Old name -> the word in its place.
MODULES = {
    "measurement": "metrics",
    "card_figures": "card_metrics",
    "knowledge": "prior_results",
    "learning": "warm_start",
    "prior_lessons": "prior_examples",
    "one_moment": "snapshot",
    "ledger_reads": "queries",
    "optuna_side": "trial_attributes",
    "apart": "isolation",
    "crew": "worker_pool",
    "staffing": "allocation",
    "packing": "autoscale",
    "work_done": "throughput",
    "pulse": "heartbeat",
    "looking_ahead": "preflight",
    "gpu_share": "gpu_memory",
    "bench": "context",
    "blueprint": "build_plan",
    "left_open": "open_runs",
    "kill_points": "failpoints",
    "rounds": "cross_validation",
    "final_test": "evaluate_test_set",
    "test_openings": "final_evaluations",
    "test_gap": "confirmation_gap",
    "leaves": "values",
    "problems": "diagnostics",
    "found": "inherit",
    "catalog": "component_registries",
    "components": "builtin",
    "endings": "imputation",
    "evidence": "observations",
    "drawing": "matplotlib_style",
    "paper": "matplotlib_charts",
    "standing": "study_view",
    "answers": "study_payload",
    "garbage": "gc_pause",
    "wording": "formatting",
    "reasons": "error_text",
    "invariants": "consistency",
}
CLASSES = {
    "Audit": "AuditSample",
    "Spared": "KeptTrial",
    "Lesson": "PriorResult",
    "Lessons": "PriorExamples",
    "Knowledge": "PriorResults",
    "OneMoment": "Snapshot",
    "Crew": "WorkerPool",
    "Local": "WorkerHandle",
    "Staff": "WorkerAllocation",
    "Packing": "Autoscaler",
    "WorkReader": "ThroughputReader",
    "Pulse": "Heartbeat",
    "Departure": "StopSignal",
    "Outlook": "PendingPreview",
    "Wish": "ConfirmRequest, ColumnMapping",
    "Asked": "ConfirmationRun",
    "Shortage": "OutOfMemory",
    "Bench": "WorkerContext",
    "Blueprint": "BuildPlan",
    "Mark": "RunLock",
    "Step": "FailPoint",
    "Run": "TrainingState",
    "Pixels": "ImageStore",
    "Opening": "FinalEvaluation",
    "Place": "DataRoot, SourceLocation",
    "Leaf": "Value",
    "OneOf": "ComponentChoice",
    "Free": "Raw",
    "FoundConfig": "InheritedConfig",
    "Outcome": "GoalMetrics, TrainingResult, RetrainingResult, LaunchResult",
    "Contest": "ConfirmationSpec",
    "Standing": "FinalistRank, StudyView",
    "Confirmation": "ConfirmationResult",
    "Seen": "ObservedTrial",
    "Evidence": "AnalysisData",
    "Outcomes": "ImputedOutcomes",
    "Searched": "SearchedParameter",
    "Plate": "StaticChart",
    "Answer": "StudyPayload",
}
FUNCTIONS = {
    "at_one_moment": "read_snapshot",
    "end_badly": "fail_attempt",
    "take_point": "next_grid_index",
    "in_other_process": "run_isolated",
    "as_far_as_it_gets": "stream_isolated",
    "start_beating": "start_heartbeat",
    "look_at": "check_launch",
    "look_ahead": "preview_launch",
    "write_once_there_is_room": "retry_until_usable",
    "is_the_places_fault": "is_storage_error",
    "wait_for_room": "wait_for_memory",
    "draw_up": "plan_build",
    "tidy": "clean_up",
    "settle_left_open": "close_orphaned_runs",
    "passing": "hit",
    "in_lockstep": "train_folds",
    "laid_out_like": "match_memory_format",
    "kept_memory": "keep_freed_pages",
    "kept_bytes": "saved_bytes_per_image",
    "grow_budget": "extend_budget_from_plan",
    "found_in": "winner_of",
    "contest_of": "spec_of",
    "in_short": "first_line",
    "plural": "count_noun",
    "long_time": "format_long_duration",
    "again": "with_storage_option",
    "several": "is_multi_objective",
    "are_plain": "is_single_unconstrained",
    "told": "describe_violation, summarize",
    "plates": "static_charts",
    "kept_waiting": "gc_paused",
}
CONSTANTS = {
    "GOAL_FIGURES": "GOAL_METRICS",
    "KNOWN_BEFORE": "STATIC_COSTS",
    "SPARED": "KEPT_BY_AUDIT",
    "NO_ROOM": "WAITING_FOR_MEMORY",
    "FORGOTTEN": "REMOVED",
}
#: Locals and parameters are nouns for what they contain, in private functions as well.
LOCALS = dict.fromkeys(
    (
        *("asked", "chosen", "drawn", "each", "found", "given", "held", "kept", "known", "made"),
        *("named", "noted", "said", "seen", "shown", "taken", "told", "wanted"),
    ),
    "a noun",
)
#: Of public functions.
ARGUMENTS = {
    "lesson": "infeasible_attrs",
    "lessons": "results, examples",
    "bench": "context",
    "blueprint": "build_plan",
    "wish": "request, mapping",
    "crew": "pool, allocation",
    "contest": "spec",
    "evidence": "data",
}
ATTRIBUTES = {
    "enumerates": "is_enumerated",
    "spared": "kept_by_audit",
    "blueprint": "build_plan",
    "blueprints": "build_plans",
    "bench": "context",
    "evidence": "data",
    "crew": "allocation",
    "packing": "autoscaler",
    "kept": "a noun",
    "said": "a noun",
    "found": "a noun",
    "told": "a noun",
    "known": "a noun",
}
#: Their names are keys of what is stored or printed as JSON, or known to users' notebooks.
STORED = {
    "AblationSpec.asked",  # report.json
    "AblationSpec.taken",  # report.json
    "Best.seen",  # hpsearch.notebook
    "Finalist.seen",  # report.json, confirm --json
    "OutOfMemory.told",  # report.json
    "PriorReport.known",  # check --json
    "PruningAudit.spared",  # report.json
    "Region.drawn",  # report.json
    "StudyContent.noted",  # report.json
}


def replaced(path: str, source: str) -> list[str]:
    """Return the replaced names that a module, at ``path`` below the package, still has."""
    names: list[tuple[dict[str, str], str]] = [
        (MODULES, part.removesuffix(".py")) for part in path.split("/")
    ]
    fields: set[ast.expr] = set()
    for node in ast.walk(ast.parse(source)):  # a class before what is in it
        if isinstance(node, ast.ClassDef):
            names.append((CLASSES, node.name))
            names += [(ATTRIBUTES | LOCALS, name) for name in _attributes(node)]
            fields |= {each.target for each in node.body if isinstance(each, ast.AnnAssign)}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names += [(LOCALS, node.id)] if node not in fields else []
        elif isinstance(node, ast.arg):
            names.append((LOCALS, node.arg))
        elif isinstance(node, ast.FunctionDef):
            names.append((FUNCTIONS | LOCALS, node.name.strip("_")))
            if not node.name.startswith("_") or node.name == "__init__":
                arguments = node.args
                every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                names += [(ARGUMENTS, each.arg) for each in every]
        elif isinstance(node, ast.Assign):
            names += [
                (CONSTANTS, each.id)
                for target in node.targets
                for each in ast.walk(target)
                if isinstance(each, ast.Name)
            ]
    return [f"{path}: {name}, now {table[name]}" for table, name in names if name in table]


def _attributes(node: ast.ClassDef) -> list[str]:
    """Return the attributes of a class: its fields, and what its methods set."""
    own = [
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and f"{node.name}.{each.target.id}" not in STORED
    ]
    return own + [
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    ]


def modules() -> list[Path]:
    """Return the package's modules; migrations are history and stay as they are."""
    return [path for path in sorted(ROOT.rglob("*.py")) if path.parent.name != "versions"]


def test_replaced_names_are_gone() -> None:
    found = [
        line
        for path in modules()
        for line in replaced(path.relative_to(ROOT).as_posix(), path.read_text())
    ]
    assert not found, "\n".join(found)


def test_no_module_looks_like_a_test() -> None:
    assert not [
        path.name
        for path in modules()
        if path.stem.startswith("test_") or path.stem.endswith("_test")
    ]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("search/ledger_reads.py", ""),
        ("results/learning/check.py", ""),
        ("a.py", "class Blueprint: ..."),
        ("a.py", "def f(record, told): ..."),
        ("a.py", "class A:\n    def f(self, *, lesson=None): ..."),
        ("a.py", "class A:\n    enumerates: bool = False"),
        ("a.py", "class A:\n    def f(self):\n        self.bench = 1"),
        ("a.py", "def end_badly(): ..."),
        ("a.py", "NO_ROOM = 'no_room'"),
        ("a.py", "def f(x):\n    found = x\n    return found"),
        ("a.py", "def _f(x):\n    return [each.name for each in x]"),
        ("a.py", "key = lambda given: given[0]"),
        ("a.py", "def _noted(): ..."),
    ],
)
def test_a_replaced_name_is_seen(path: str, source: str) -> None:
    assert len(replaced(path, source)) == 1
