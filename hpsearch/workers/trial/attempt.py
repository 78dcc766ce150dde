"""One attempt at one configured trial: its training, its reports and its checkpoints.

A full or a locked disk, or an object store that is down, isn't the trial's fault. If a checkpoint
can't be written, training continues without it. If the best weights can't be written, the trial
waits before its end; if the checkpoints can't be read, it waits before it continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from hpsearch.durable_files import is_storage_error
from hpsearch.errors import CheckpointError, LeaseLost, RunsUnreachable, TrainingInterrupted
from hpsearch.failpoints import FailPoint, hit
from hpsearch.metrics import EpochEnd, EpochMetrics
from hpsearch.results.confirmation.contributions import predictions_of
from hpsearch.results.confirmation.outcomes import PREDICTIONS
from hpsearch.results.confirmation.over_groups import OVER_GROUPS, over_groups
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.decision import Decision
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.ledger.types import CheckpointRef, Claim
from hpsearch.training.data.prepare import prepare
from hpsearch.training.latency import latency
from hpsearch.workers.trial import gpu_memory
from hpsearch.workers.trial.build_plan import BuildPlan, LoopBuildPlan
from hpsearch.workers.trial.context import WorkerContext, clean_up
from hpsearch.workers.trial.disk_retry import describe_fault, retry_until_usable
from hpsearch.workers.trial.energy import ENERGY, meter_of
from hpsearch.workers.trial.lease_keeper import LeaseKeeper
from hpsearch.workers.trial.run_folder import KEPT_CHECKPOINTS
from hpsearch.workers.trial.training_session import TrainingSession

logger = logging.getLogger(__name__)

#: The longest pause between two tries to upload a checkpoint while the object store is down.
LONGEST_PAUSE_SECONDS = 60.0


class Attempt:
    """The training of one configured trial, its reports and its checkpoints."""

    def __init__(
        self,
        context: WorkerContext,
        claim: Claim,
        keeper: LeaseKeeper,
        number: int,
        build_plan: BuildPlan | LoopBuildPlan,
    ) -> None:
        self.context = context
        self.claim = claim
        self.keeper = keeper
        self.number = number
        self.build_plan = build_plan
        self.checkpoints: list[CheckpointRef] = []
        #: Whether the disk refused the last one.
        self.no_room = False
        self.energy = meter_of(context.device)
        #: Whether this is a training of a planned study, which keeps its predictions.
        self.confirming = context.study.is_planned
        self.session = self._begin()

    def _begin(self) -> TrainingSession:
        """Return a training at its beginning."""
        build_plan = self.build_plan
        has_groups = isinstance(build_plan, BuildPlan) and build_plan.plan.val_groups is not None
        return TrainingSession(
            build_plan,
            self.context.study.objective,
            data=self.context.run.data,
            keep_predictions=self.confirming or has_groups,
        )

    def run(self) -> None:
        """Train to the end, reporting every epoch, or pause if the keeper requests it."""
        self._wait_for_memory()
        if not retry_until_usable(
            self._resume,
            f"trial {self.number} can't continue from its checkpoint",
            self.keeper.must_leave,
        ):
            self._give_back("its checkpoint couldn't be read")
            return
        threads_before = torch.get_num_threads()
        try:
            self._train()
        except CheckpointError as error:
            # Intact, but of other images or another version, so it would fail for every worker.
            detail = {"reason": str(error), "goes_on_from_epoch": 0}
            self.context.ledger.note(self.claim, EventKind.CHECKPOINT_UNUSABLE, detail)
            self.session, self.checkpoints = self._begin(), []
            self._train()
        finally:
            torch.set_num_threads(threads_before)

    def _wait_for_memory(self) -> None:
        """On a GPU, wait for free memory: other processes use it as well."""
        device = self.context.device
        if not device.startswith("cuda") or isinstance(self.build_plan, LoopBuildPlan):
            return
        needed = gpu_memory.needed_bytes(self.build_plan.plan)
        gpu_memory.wait_for_memory(
            needed,
            total=gpu_memory.total_bytes(device),
            free=lambda: gpu_memory.free_bytes(device),
            leave=self.keeper.should_stop,
            on_wait=lambda free: self.context.ledger.note(
                self.claim,
                EventKind.WAITING_FOR_MEMORY,
                {"needed_bytes": needed, "free_bytes": free},
            ),
        )

    def _train(self) -> None:
        try:
            for end in self.keeper.watched(self.session.epochs(self.keeper.should_stop)):
                if self._report(end) != "continue":
                    return
                if self._has_no_time():
                    self._leave(end.state)
                    return
        except TrainingInterrupted as interruption:
            self._leave(interruption.state)

    def _has_no_time(self) -> bool:
        """Whether the study's deadline ends the training at this epoch."""
        deadline = self.context.deadline
        return deadline is not None and deadline.must_pause(self.session.epochs_done)

    def _resume(self) -> None:
        """Continue from the newest usable checkpoint, if there is one."""
        if self.claim.checkpoint is None:
            return
        references = queries.checkpoints(
            self.context.ledger.database, self.claim.study_id, self.claim.ticket
        )
        usable = self.context.folder.newest_usable(references)
        if usable is None or usable[0] != references[0]:
            epoch = 0 if usable is None else usable[0].epoch
            detail = {"newest": references[0].key, "goes_on_from_epoch": epoch}
            self.context.ledger.note(self.claim, EventKind.CHECKPOINT_UNUSABLE, detail)
        if usable is None:
            return
        reference, content = usable
        self.checkpoints = [reference]
        self.session.resume(content)
        if self.energy is not None:
            self.energy.go_on_from(content.get(ENERGY, 0.0))
        hit(FailPoint.RESUMED)

    def _report(self, end: EpochEnd) -> str:
        if self.energy is not None:
            end = replace(end, attributes={ENERGY: self.energy.look()})
        self._keep_predictions(end)
        reference = None
        if end.last:
            # Before the report: a complete trial in the ledger has its weights on disk.
            if not self._save_best():
                return self._give_back("its best weights couldn't be written")
            end = self._with_predictions(end)
        elif (
            # A trial that pauses at a rung continues from there
            end.epoch in self.context.ledger.rules.rungs
            or self.session.is_checkpoint_due(self._checkpoint_pause())
        ):
            reference = self._save(end.epoch, end.state)
        metrics = self._measure(end)
        decision = self.context.ledger.report(self.claim, end, reference, metrics)
        self._track(end.metrics, decision)
        if decision is Decision.CONTINUE:
            if reference is not None:
                hit(FailPoint.EPOCH_REPORTED)
                self._retain(reference)
                hit(FailPoint.CHECKPOINTS_CLEARED)
            return decision
        if decision is Decision.PAUSED:
            hit(FailPoint.TRIAL_PAUSED)
            self._make_room(reference)
        elif decision is Decision.COMPLETE:
            hit(FailPoint.TRIAL_COMPLETE)
            clean_up(self.context)
        else:
            hit(FailPoint.TRIAL_PRUNED)
            self.context.folder.clean_up({self.number}, winners=())
        hit(FailPoint.TRIAL_TIDIED)
        return decision

    def _track(self, metrics: EpochMetrics, decision: Decision) -> None:
        """Send the trackers what the ledger has accepted."""
        tracking, metric = self.context.tracking, self.context.study.objective.metric
        tracking.epoch(metrics)
        best = self.session.best
        value = metrics.value(metric) if best is None else best["value"]
        if decision is Decision.COMPLETE:
            tracking.end("complete", value)
        elif decision is Decision.PRUNED:
            tracking.end("pruned", value)

    def _measure(self, end: EpochEnd) -> dict[str, float]:
        """Return the metrics of the study's goals that aren't in ``EpochMetrics``.

        Latency is measured once, at the end.
        """
        goals = self.context.study.goals
        if goals.is_single_unconstrained:
            return {}
        build_plan, metrics = self.build_plan, self.build_plan.costs()
        if isinstance(build_plan, LoopBuildPlan):
            return metrics
        if end.last and "latency" in goals.metrics and self.session.best is not None:
            weights = self.session.best["weights"]
            metrics["latency"] = latency(
                build_plan.config.model,
                weights[0] if isinstance(weights, list) else weights,  # one model per fold
                input_shape=build_plan.plan.input_shape,
                classes=len(build_plan.plan.class_names),
                device=self.context.device,
                precision=build_plan.plan.precision,
            )
        return metrics

    def _save(
        self, epoch: int, state: Callable[[], dict[str, Any]], *, part: str = ""
    ) -> CheckpointRef | None:
        """Write a checkpoint; return ``None`` if the disk or the object store refuses it."""
        content = self.session.content(state)
        if self.energy is not None:
            content[ENERGY] = self.energy.look()
        try:
            reference = self.context.folder.save(
                self.number, self.claim.attempt, epoch, content, part=part
            )
        except OSError as error:
            if not is_storage_error(error):
                raise
            self._note_skipped(epoch, error)
            return None
        finally:
            self.session.note_checkpoint()
        self.no_room = False
        hit(FailPoint.LEAVING_SAVED if part else FailPoint.CHECKPOINT_SAVED)
        return reference

    def _checkpoint_pause(self) -> float:
        """Return the seconds from the last checkpoint, or the last try, to the next."""
        pause = self.context.run.checkpoint_seconds
        failures = self.context.folder.failed_uploads
        # Each try may wait for a server that doesn't answer
        return max(pause, min(2.0**failures, LONGEST_PAUSE_SECONDS)) if failures else pause

    def _note_skipped(self, epoch: int, error: OSError) -> None:
        is_new = not self.no_room
        if isinstance(error, RunsUnreachable):
            is_new = self.context.folder.failed_uploads == 1
        self.no_room = True
        self.context.ledger.note(
            self.claim, EventKind.CHECKPOINT_SKIPPED, {"epoch": epoch, "reason": str(error)}
        )
        if is_new:
            logger.warning(
                "trial %d: %s, so there is no checkpoint after epoch %d; training continues and "
                "tries again",
                self.number,
                describe_fault(error),
                epoch,
            )

    def _retain(self, reference: CheckpointRef) -> None:
        self.checkpoints = [reference, *self.checkpoints][:KEPT_CHECKPOINTS]
        self.context.folder.prune_checkpoints(self.number, self.checkpoints)

    def _make_room(self, reference: CheckpointRef | None) -> None:
        """Keep one checkpoint of the paused trial, and none of the trials that it replaces."""
        if reference is not None:
            self.context.folder.prune_checkpoints(self.number, [reference])
        numbers = self.context.ledger.end_excess()
        if numbers:
            self.context.folder.clean_up(set(numbers), winners=())

    def _leave(self, state: Callable[[], dict[str, Any]]) -> None:
        """Save the state and give the trial back; another attempt goes on from there."""
        self._refuse_if_lost()
        reason = self.context.why_leaving()
        if self._has_no_time() and self.context.deadline is not None:
            reason = self.context.deadline.reason
        # If it can't be written, the next attempt continues from the checkpoint before.
        reference = self._save(self.session.epochs_done, state, part="-part")
        self.context.ledger.release(self.claim, reason, reference)
        hit(FailPoint.RELEASED)
        if reference is not None:
            self._retain(reference)

    def _give_back(self, reason: str) -> str:
        """Release a trial that waits for the disk or store; its last checkpoint stays."""
        self._refuse_if_lost()
        self.context.ledger.release(self.claim, f"the worker was asked to stop; {reason}")
        return "paused"

    def _refuse_if_lost(self) -> None:
        if self.keeper.lost:
            raise LeaseLost(f"ticket {self.claim.ticket}: attempt {self.claim.attempt} is over")

    def _keep_predictions(self, end: EpochEnd) -> None:
        """Keep the predictions beside the weights that a planned study's training has kept."""
        best = self.session.best
        if self.confirming and best is not None and best["epoch"] == end.epoch:
            predictions = self._predictions(end)
            if predictions is not None:
                best[PREDICTIONS] = predictions.encode()

    def _predictions(self, end: EpochEnd) -> Predictions | None:
        """Return the predictions of the validation images; ``None`` if they weren't kept."""
        val = end.val_predictions
        if val is None or isinstance(self.build_plan, LoopBuildPlan):
            return None
        config = self.build_plan.config
        data = prepare(config.data, split_seed=config.split_seed, root=self.context.run.data)
        return predictions_of(
            val, self._probability_metric, data.class_names, data.groups_of(val.rows)
        )

    @property
    def _probability_metric(self) -> str | None:
        """The objective, if it needs the predicted probabilities."""
        goals = self.context.study.goals
        return goals.objective.metric if goals.objective.metric in goals.others else None

    def _with_predictions(self, end: EpochEnd) -> EpochEnd:
        """Return the last epoch's end with what the trial's row keeps of its predictions.

        A training of a planned study keeps all of them. If the images have groups, any training
        keeps the effect of the groups on its metrics, which a confusion matrix doesn't contain.
        """
        attributes, build_plan, best = dict(end.attributes), self.build_plan, self.session.best
        if isinstance(build_plan, LoopBuildPlan):
            return end
        if best is not None and PREDICTIONS in best:
            attributes[PREDICTIONS] = best[PREDICTIONS]
        if build_plan.plan.val_groups is not None:
            predictions = self._predictions(end)
            if predictions is not None:
                classes = len(build_plan.plan.class_names)
                effect = over_groups(predictions, classes, self._probability_metric)
                attributes |= {} if effect is None else {OVER_GROUPS: effect.to_json()}
        return replace(end, attributes=attributes)

    def _save_best(self) -> bool:
        """Write the best weights when the disk allows; return False if the worker must leave."""
        best = self.session.best
        if best is None:
            return True
        weights = {key: value for key, value in best.items() if key != PREDICTIONS}
        is_saved = retry_until_usable(
            lambda: self.context.folder.save_best(self.number, weights),
            f"trial {self.number} has ended, but its best weights can't be written",
            self.keeper.must_leave,
        )
        if is_saved:
            hit(FailPoint.BEST_SAVED)
        return is_saved
