"""One study in Python: its trials, curves, best and figures, its launch, and its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hpsearch.errors import HpsearchError, NothingStored, UnknownName, UserError
from hpsearch.notebook import frames, html
from hpsearch.notebook.ablation import Ablation, ablations_of
from hpsearch.notebook.best import Best, best_of
from hpsearch.notebook.overview import overview
from hpsearch.reporting.status import status_of
from hpsearch.results.opening import database_for_reading, name_in_file, stored_name
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.workers.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from hpsearch.notebook.evaluation import Evaluation
    from hpsearch.notebook.models import Model, Pictures
    from hpsearch.results.export.choice import Export
    from hpsearch.study_file.loading import StudyDict
    from hpsearch.workers.launch.supervisor import LaunchResult
    from hpsearch.workers.runs_place.place import Runs
    from hpsearch.workers.winner.labelling import Prediction

T = TypeVar("T")


class Study:
    """A study in a notebook. Every property reads the database again.

    ``open_study`` returns it. Errors are those of ``hpsearch.errors``; their messages say what to
    do.
    """

    def __init__(
        self,
        study: str | StudyDict,
        storage: str,
        *,
        name: str | None,
        overrides: Sequence[str],
        runs: Runs,
        data: Path | None,
    ) -> None:
        self._study = study
        self._storage = storage
        self._new_name = name
        self._overrides = tuple(overrides)
        self._runs = runs
        self._data = data

    def __repr__(self) -> str:
        """Return the study's name and progress."""
        try:
            record = self._read(lambda _, record: record)
        except HpsearchError:
            return f"<Study {self._title}: not launched yet>"
        done, of = record.counts.finished, record.study.trial_budget
        return f"<Study {record.study.name}: {done} of {of} trials finished>"

    @property
    def name(self) -> str:
        """The study's name in the database, also before its launch."""
        return self._new_name or self._stored_name() or self._name_in_definition() or self._title

    @property
    def is_stored(self) -> bool:
        """Whether the study is in the database."""
        return self._stored_name() is not None

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, by its number.

        The columns are the state, the value (of the objective), epochs, every searched parameter
        under its path, seconds, and attributes. Invalid trials are included.
        """
        return self._read(frames.trials)

    @property
    def curves(self) -> pd.DataFrame:
        """One row per trial and epoch: losses (means over images), accuracies (0 to 1), seconds."""
        return self._read(frames.curves)

    @property
    def best(self) -> Best | None:
        """The confirmed winner, or else the best seen so far; ``None`` if there is neither."""
        return self._read(best_of)

    @property
    def _run_config(self) -> RunConfig:
        """Where trials are run, with the default options."""
        return RunConfig(storage=self._storage, runs=self._runs, data=self._data)

    @property
    def ablations(self) -> list[Ablation]:
        """What each setting of a trial is worth, of each ablation, oldest first."""
        return self._read(ablations_of)

    @property
    def status(self) -> dict[str, Any]:
        """The data of ``hpsearch status --json``: counts, budget, epochs, the best."""
        return self._read(status_of)

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings that affect the comparison of trials: changed images, damaged rows."""
        return self._read(lambda _, record: record.warnings)

    @property
    def figures(self) -> Mapping[str, go.Figure]:
        """The charts of ``hpsearch report`` as plotly figures, by name; each is made on access.

        For example ``study.figures["history-epochs"]``; ``list(study.figures)`` lists the names.
        """
        from hpsearch.notebook.figures import Figures

        return self._read(lambda database, record: Figures.of(database, record, self._data))

    def launch(
        self,
        workers: int | None = 1,
        *,
        trials: int | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        devices: str = "auto",
        workers_per_gpu: int | None = None,
        lease_seconds: float = RunConfig.lease_seconds,
        checkpoint_seconds: float = RunConfig.checkpoint_seconds,
        progress: bool = True,
    ) -> LaunchResult:
        """Search with local worker processes until the budget is used.

        An interrupt (the notebook's stop button, Ctrl-C) saves checkpoints and stops; the next call
        continues at the same epochs. A finished study gets more trials only by ``trials``.

        Args:
            workers: Number of worker processes; ``None``: one per core, or on a GPU the number with
                the highest throughput.
            trials: Number of trials in all; ``None`` takes the file's.
            epochs: Epochs of an unpruned trial; ``None`` takes the file's.
            timeout: Seconds after which running trials are paused; ``None`` for no limit.
            devices: ``auto``, ``cpu``, ``mps``, or a list: ``cuda:0,cuda:1``.
            workers_per_gpu: Most workers on one GPU; ``None`` for no limit if ``workers`` is a
                number, else for the default limit.
            lease_seconds: Seconds without a sign of life after which another worker may take over
                a trial.
            checkpoint_seconds: Least seconds between two checkpoints of a trial.
            progress: Whether to show the progress.

        Returns:
            How the launch ended.

        Raises:
            UserError: The file, an option, the data or the database can't be used, or this isn't
                the main thread.
        """
        from hpsearch.notebook import launching

        changes = [*self._overrides]
        changes += [] if trials is None else [f"budget.trials={trials}"]
        changes += [] if epochs is None else [f"budget.epochs_per_trial={epochs}"]
        run = replace(
            self._run_config,
            workers=workers,
            devices=devices,
            workers_per_gpu=workers_per_gpu,
            timeout=timeout,
            lease_seconds=lease_seconds,
            checkpoint_seconds=checkpoint_seconds,
        )
        return launching.launch(self._study, changes, self._new_name, run, progress=progress)

    def confirm(
        self,
        workers: int | None = 1,
        *,
        top: int | None = None,
        seeds: int | None = None,
        again: bool = False,
        timeout: float | None = None,
        devices: str = "auto",
        progress: bool = True,
    ) -> Best | None:
        """Train the best trials again with fresh seeds, as ``hpsearch confirm`` does.

        Args:
            workers: Number of worker processes; ``None``: one per core, or on a GPU the number with
                the highest throughput.
            top: Number of finalists; ``None`` takes the file's or the default.
            seeds: Fresh seeds that choose the winner, and as many more for its value; ``None``
                takes the file's or the default.
            again: Whether to begin a new confirmation, with other seeds than before.
            timeout: Seconds after which running trainings are paused; ``None`` for no limit.
            devices: As for ``launch``.
            progress: Whether to show the progress.

        Returns:
            ``best``, after the confirmation.

        Raises:
            UserError: The search can't be confirmed (yet), its unfinished confirmation differs
                from the arguments, or this isn't the main thread.
        """
        from hpsearch.notebook import launching
        from hpsearch.workers.confirmation import ConfirmRequest

        run = replace(self._run_config, workers=workers, devices=devices, timeout=timeout)
        request = ConfirmRequest(top=top, seeds=seeds, again=again)
        launching.confirm(self._require_name(), request, run, progress=progress)
        return self.best

    def ablate(
        self,
        workers: int | None = 1,
        *,
        trial: int | None = None,
        parameters: str | Sequence[str] = (),
        pairs: Sequence[tuple[str, str]] = (),
        question: bool = False,
        seeds: int | None = None,
        timeout: float | None = None,
        devices: str = "auto",
        progress: bool = True,
    ) -> Ablation:
        """Change one setting of the winner at a time, and measure what it is worth.

        As ``hpsearch ablate`` does: all configurations are trained with the same fresh seeds. The
        same call continues an ablation that was interrupted, or returns its result.

        Args:
            workers: As for ``confirm``.
            trial: The number of the trial that is changed; ``None`` for the winner.
            parameters: Paths, or unique ends of paths, of the parameters that are changed. Without
                them, ``pairs`` and ``question``: every searched parameter of the trial.
            pairs: A parameter, and another one at whose values its effect is measured.
            question: Whether to answer the study's question.
            seeds: Fresh seeds; ``None`` takes the default.
            timeout: Seconds after which running trainings are paused; ``None`` for no limit.
            devices: As for ``launch``.
            progress: Whether to show the progress.

        Returns:
            The effects, which may not be finished after an interrupt or ``timeout``.

        Raises:
            UserError: The search has no trial to ablate (yet), an argument is wrong, or this isn't
                the main thread.
        """
        from hpsearch.notebook import launching
        from hpsearch.workers.ablation import AblateRequest

        run = replace(self._run_config, workers=workers, devices=devices, timeout=timeout)
        request = AblateRequest(
            trial=trial,
            parameters=(parameters,) if isinstance(parameters, str) else tuple(parameters),
            pairs=tuple((one, other) for one, other in pairs),
            question=question,
            seeds=seeds,
        )
        name = launching.ablate(self._require_name(), request, run, progress=progress)
        return next(ablation for ablation in self.ablations if ablation.ablation == name)

    def invalidate(self, trial: int, reason: str, *, again: bool = False) -> None:
        """Declare a complete or pruned trial invalid: it doesn't count any more, but its row stays.

        Args:
            trial: The trial's number.
            reason: Why it is invalid; must not be empty.
            again: Whether the budget gets one more trial.

        Raises:
            UnknownName: There is no trial of this number.
            UserError: The study is a confirmation, the trial is neither complete nor pruned, the
                reason is empty, or no point of an enumerated space is left for ``again``.
        """
        from hpsearch.results.planned import parent_of
        from hpsearch.search.ledger import validity

        def declare(database: Database, record: StudyRecord) -> None:
            if (parent := parent_of(record.study)) is not None:
                raise UserError(f"a training of the {parent.kind} can't be declared invalid")
            ticket = record.trial(trial).ticket
            validity.invalidate(database, record.study.study_id, ticket, reason, again=again)

        self._read(declare)

    def export(
        self,
        bundle: str | Path | None = None,
        *,
        config: str | Path | None = None,
        card: str | Path | None = None,
        weights: str | Path | None = None,
        onnx: str | Path | None = None,
        torch_export: str | Path | None = None,
        trial: int | None = None,
        pick: str | None = None,
        unconfirmed: bool = False,
        license: str | None = None,
        force: bool = False,
    ) -> list[Path]:
        """Write the winner as files that need no database, as ``hpsearch export`` does.

        It is the confirmed winner, or else the best seen, and then the files say so.

        Args:
            bundle: The folder of a model, which ``load_model`` reads: config, weights, card,
                classes, and a picture of the confusion matrix.
            config: The frozen config, a ``.yaml`` file; without any file ``STUDY-trial-N.yaml``.
            card: The model card alone, a ``.md`` file.
            weights: The weights alone, a ``.safetensors`` file.
            onnx: The model for other programs, an ``.onnx`` file.
            torch_export: The model as torch.export's program, a ``.pt2`` file.
            trial: A trial's number; ``None`` for the winner.
            pick: A point of the front, if the study has several objectives.
            unconfirmed: Whether to take the best seen, even if a confirmation chose another.
            license: The model's license for its card: ``mit``, ``apache-2.0``, or any name.
            force: Whether to replace existing files.

        Returns:
            The files that were written; those of ``bundle`` come last.

        Raises:
            UserError: A file exists, there is nothing to export, or the images have changed.
            CheckpointError: The weights aren't kept here.
            ExportFailed: A format can't represent the model, or the weights don't give the recorded
                accuracy.
        """
        from hpsearch.workers.winner.exporting import Targets, write_export

        paths = {
            "bundle": bundle,
            "config": config,
            "card": card,
            "weights": weights,
            "onnx": onnx,
            "torch_export": torch_export,
        }
        targets = Targets(**{key: Path(path) for key, path in paths.items() if path is not None})
        choice = self._choose(trial, pick, unconfirmed).with_license(license)
        if not targets.files():
            targets = Targets(config=Path(choice.default_name))
        write_export(choice, targets, runs=self._runs, data=self._data, overwrite=force)
        return [path for path in targets.files() if path.exists()]

    def evaluate(self, *, device: str = "auto", pick: str | None = None) -> Evaluation:
        """Evaluate the winner on the test images: once, when the search is over.

        As ``hpsearch evaluate`` does: of a confirmed winner, all trainings with the report's seeds.
        The study counts its evaluations: a second one may be influenced by the first, so it is no
        longer a test.

        Args:
            device: ``auto``, ``cpu``, ``mps``, or ``cuda:0``.
            pick: A point of the front, if the study has several objectives.

        Raises:
            UserError: Trials are running, the confirmation isn't finished, there is no winner, or
                the source has no test images.
            CheckpointError: The winner's weights aren't kept here.
        """
        from hpsearch.notebook.evaluation import evaluate

        return self._read(
            lambda database, record: evaluate(
                database, record, runs=self._runs, device=device, data=self._data, pick=pick
            )
        )

    def load_model(
        self,
        *,
        trial: int | None = None,
        pick: str | None = None,
        unconfirmed: bool = False,
        device: str = "cpu",
    ) -> Model:
        """Return the winner's trained model, whose ``module`` is the ``torch.nn.Module``.

        It is the model that ``export`` writes. Its weights are evaluated on the validation images
        first, and must give the recorded accuracy.

        Args:
            trial: A trial's number; ``None`` for the winner.
            pick: A point of the front, if the study has several objectives.
            unconfirmed: Whether to take the best seen, even if a confirmation chose another.
            device: ``cpu``, ``mps``, ``cuda:0``, or ``auto``.

        Raises:
            UserError: There is no winner yet, the images have changed, or the device isn't there.
            CheckpointError: The weights aren't kept here.
            ExportFailed: The weights don't give the recorded accuracy.
        """
        from hpsearch.notebook.models import Model
        from hpsearch.workers.winner.exporting import load_trained
        from hpsearch.workers.winner.labelling import open_classifier_device

        place = open_classifier_device(device)
        frozen = self._choose(trial, pick, unconfirmed).frozen
        model = load_trained(frozen, runs=self._runs, data=self._data)
        name = f"{frozen.document['provenance']['study']}, trial {frozen.trial.number}"
        model.classifier.move_to(place)
        return Model(model.classifier, name)

    def predict(self, pictures: Pictures, *, top: int = 1, device: str = "cpu") -> list[Prediction]:
        """Label pictures with the winner's model, as ``hpsearch predict`` does.

        To label several times, load the model once: ``study.load_model().predict(...)``.

        Args:
            pictures: A picture file, a folder of them, or a list of both.
            top: How many classes per picture, at least 1.
            device: As for ``load_model``.

        Returns:
            A prediction for each picture: ``path``, ``label``, ``probability`` and ``classes``.

        Raises:
            UserError: As ``load_model``, or a folder contains no picture.
            CheckpointError: The weights aren't kept here.
            ExportFailed: The weights don't give the recorded accuracy.
        """
        return self.load_model(device=device).predict(pictures, top=top)

    def report(self, path: str | Path, *, figures: bool = True) -> Path:
        """Write the report of ``hpsearch report`` into the folder ``path``, and return its page."""
        from hpsearch.reporting.assemble import read_report
        from hpsearch.reporting.writing import write_report

        content = self._read(
            lambda database, record: read_report(database, [record.study.name], data=self._data)
        )
        return write_report(content, Path(path), figures=figures).page

    def _repr_html_(self) -> str:
        try:
            return self._read(overview)
        except (NothingStored, UnknownName):
            return html.page(
                html.title(self.name), html.line("not launched yet: .launch() starts it", "soft")
            )
        except HpsearchError as error:
            return html.page(html.title(self._title), html.line(str(error), "bad"))

    def _choose(self, trial: int | None, pick: str | None, unconfirmed: bool) -> Export:
        from hpsearch.results.export.choice import choose
        from hpsearch.results.opening import study_of

        return self._read(
            lambda database, record: choose(
                database, record, study_of, number=trial, pick=pick, unconfirmed=unconfirmed
            )
        )

    def _read(self, look: Callable[[Database, StudyRecord], T]) -> T:
        with database_for_reading(self._storage) as database:
            return look(database, read_study(database, self._name_in(database)))

    def _name_in(self, database: Database) -> str:
        if self._new_name is not None or not isinstance(self._study, str):
            return self._new_name or self._title
        return stored_name(database, self._study)

    @property
    def _title(self) -> str:
        """The study as the caller named it."""
        return self._study if isinstance(self._study, str) else self._study.name

    def _name_in_definition(self) -> str | None:
        return name_in_file(self._study) if isinstance(self._study, str) else self._study.name

    def _stored_name(self) -> str | None:
        from hpsearch.search.ledger import studies

        try:
            with database_for_reading(self._storage) as database:
                name = self._name_in(database)
                return None if studies.find_or_none(database, name) is None else name
        except NothingStored:
            return None

    def _require_name(self) -> str:
        return self._read(lambda _, record: record.study.name)
