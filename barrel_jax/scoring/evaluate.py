# SPDX-License-Identifier: Apache-2.0
"""One evaluation: read or predict, score, print, write."""

from pathlib import Path

from barrel_jax import files
from barrel_jax.config import DataConfig, load_run_config
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.clips import ClipScore, score_clips
from barrel_jax.evaluation.data_to_score import data_to_score
from barrel_jax.evaluation.rank_cost import RankCost, write_rank_cost
from barrel_jax.evaluation.score import write_evaluation
from barrel_jax.evaluation.scores import Scores, Stress
from barrel_jax.evaluation.stress import stress
from barrel_jax.faces.landmarks import Normaliser
from barrel_jax.facts import read_facts
from barrel_jax.picture_heads import max_pixels
from barrel_jax.report.page import write_page
from barrel_jax.report.run import run_report
from barrel_jax.scoring.arguments import Request
from barrel_jax.scoring.predicted import FaceReaders, Model, Predicted, predict, read


def evaluate(request: Request, readers: FaceReaders) -> None:
    """Prints the scores of what is asked for, and writes what the request wants below its folder.

    Raises:
        FileNotFoundError, ValueError: as `predicted.read`, `predicted.predict` and `clips.score_clips`.
        OSError: the files cannot be written.
    """
    data = _data_settings(request)
    normaliser = Normaliser.parse(request.normaliser) if request.normaliser else None
    if normaliser and normaliser.points:  # a set of which none is known needs it to be read at all
        data.normaliser = normaliser.points
    if isinstance(request.subject, Path):
        predicted = read(request.subject, data, readers, normaliser)
    else:
        predicted = predict(request.subject, data, readers, normaliser)
    scores = predicted.score()
    print(score_table.table(scores))
    model = predicted.model
    cost = _rank_cost(predicted, scores)
    if cost:
        print("\n" + score_table.rank_cost(cost))
    if request.workdir is None:
        if request.sequences:
            _score_clips(predicted, scores)
        print("nothing is written without --workdir")
        return
    at_rank = f"-rank{cost.rank}" if cost else ""
    folder = request.workdir / "eval" / f"{scores.dataset}-{scores.split}{at_rank}"
    for path in write_evaluation(folder, scores, predicted.points_px, predicted.faces):
        print(path)
    if cost:
        print(write_rank_cost(folder, cost))
    if request.sequences:  # what may be no clips costs nothing of the above
        files.write_json(folder / "sequences.json", files.plain(_score_clips(predicted, scores)))
        print(folder / "sequences.json")
    stressed = None
    if model and model.choice.stress:
        with max_pixels(data.max_pixels):
            stressed = _put_under_stress(model, predicted, readers.prepare(data), folder)
    if request.report:
        write_page(folder / "report.html", _report(request, predicted, scores, stressed))
        print(folder / "report.html")


def _data_settings(request: Request) -> DataConfig:
    """Those of the run, where the request's folder is one, under the fields that the request changes."""
    own, scheme = DataConfig(), DataConfig().scheme
    workdir = request.workdir
    if workdir is not None and ((workdir / "config.json").exists() or not isinstance(request.subject, Path)):
        own, scheme = load_run_config(workdir).data, read_facts(workdir)["scheme"]
    return data_to_score(own, scheme, **request.data)


def _rank_cost(predicted: Predicted, scores: Scores) -> RankCost | None:
    """The error of scores at a rank beside that of the same model at full rank; None where no rank was chosen."""
    model = predicted.model
    if model is None or model.choice.rank is None:
        return None
    return RankCost(
        rank=model.choice.rank,
        checkpoint_step=model.run.step,
        dataset=scores.dataset,
        split=scores.split,
        normaliser=scores.normaliser,
        nme=scores.nme,
        nme_at_full_rank=predicted.score_at_full_rank(model).nme,
    )


def _score_clips(predicted: Predicted, scores: Scores) -> list[ClipScore]:
    """Measures and prints the errors and the flicker of the clips that the faces are frames of."""
    clips = score_clips(predicted.points_px, predicted.faces)
    print("\n" + score_table.clip_table(clips, scores.normaliser))
    return clips


def _put_under_stress(model: Model, predicted: Predicted, directory: Path, folder: Path) -> Stress:
    """Measures, prints and writes the errors of perturbed faces of the built set in `directory`."""
    run = model.run
    stressed = stress(run.predict, model.crops, predicted.faces, directory, model.crop, run.step)
    print("\n" + score_table.stress_table(stressed))
    files.write_json(folder / "stress.json", files.plain(stressed))
    print(folder / "stress.json")
    return stressed


def _report(request: Request, predicted: Predicted, scores: Scores, stressed: Stress | None) -> str:
    subject, model = request.subject, predicted.model
    name = subject.name if isinstance(subject, Path) else subject.workdir.absolute().name
    if model and model.choice.rank is not None:
        name += f" at rank {model.choice.rank}"
    run, crops = (model.run, model.crops) if model else (None, None)
    return run_report(scores, predicted.points_px, predicted.faces, name, run, crops, stressed)
