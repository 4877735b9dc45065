# SPDX-License-Identifier: Apache-2.0
"""The report of one evaluation: of a run's model, or of anybody's predictions."""

import math

import numpy as np
from jaxtyping import Float, Real

from barrel_jax.evaluation import score_table as words
from barrel_jax.evaluation.metrics import face_means, point_errors
from barrel_jax.evaluation.score import crop_errors
from barrel_jax.evaluation.scores import Scores, Stress
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.normalisers import distances
from barrel_jax.input.crops import FaceCrops
from barrel_jax.report.attention import attention
from barrel_jax.report.faces import worst_faces
from barrel_jax.report.markup import Content, Markup, element, joined
from barrel_jax.report.mean_shape import landmark_errors
from barrel_jax.report.page import Section, page, paragraphs
from barrel_jax.report.scores import error_curves, explained, face_table, score_table
from barrel_jax.report.stress import under_stress
from barrel_jax.report.tables import Cell, number, table
from barrel_jax.report.training import report_versions, settings, training_curves
from barrel_jax.training.trained import TrainedRun


def run_report(
    scores: Scores,
    points_px: Real[np.ndarray, "n K 2"],
    faces: FaceTruth,
    name: str,
    run: TrainedRun | None = None,
    crops: FaceCrops | None = None,
    stressed: Stress | None = None,
) -> str:
    """A report as a whole HTML document.

    Args:
        scores: of `score.score`.
        points_px: predicted points in source pixels.
        faces: the truth, with pixels where there are any.
        name: of the run or of the predictions.
        run: the model that predicted; None for predictions from elsewhere.
        crops: the faces that it saw; None without a run.
        stressed: its errors under stress, if they were measured.
    """
    unit = distances(faces.scheme, faces.points_px, faces.labelled)
    errors = point_errors(points_px, faces.points_px, faces.labelled, unit)
    nmes = face_means(errors)
    curves = {"all faces": nmes} | {flag: nmes[faces.flags[:, place]] for place, flag in enumerate(faces.flag_names)}
    title = f"{scores.dataset} {scores.split}"
    columns = {"NME": nmes, "NME in the crop": crop_errors(points_px, faces)}
    sections = [
        Section("Scores", _scores(scores)),
        Section("Error curves", error_curves(f"Cumulative error: {title}", curves, scores.normalised_by)),
        Section("Landmarks", landmark_errors(faces, scores.point_nme, scores.normalised_by)),
        Section("Worst faces", _worst(faces, points_px, errors, nmes)),
        Section("Attention", _attention(run, crops, nmes)),
        *([] if stressed is None else [Section("Under stress", under_stress(stressed))]),
        Section("All faces", face_table(faces.files, faces.faces.tolist(), columns, faces.flags, faces.flag_names)),
    ]
    if run is None:
        sections.append(Section("Versions", report_versions()))
    else:
        sections.append(Section("Training", training_curves(run.workdir)))
        sections.append(Section("Settings and versions", settings(run.config, run.facts)))
    return page(f"{name} on {title}", _lead(scores), sections)


def _lead(scores: Scores) -> Content:
    step = "" if scores.checkpoint_step is None else f", checkpoint of step {scores.checkpoint_step:,}"
    crop = f", crop protocol {scores.crop}" if scores.crop else ""
    clamped = "clamped to the image" if scores.clamped else "as annotated"
    about = f"{scores.num_images:,} faces{step}{crop}, points {clamped}."
    low, high = scores.nme_interval
    headline: Content = element("strong", "No face has a score.")
    if scores.num_images:
        interval = "" if math.isnan(low) else f" (95 % interval {low:.2f} to {high:.2f})"
        headline = element("strong", f"NME {scores.nme:.2f} %"), interval
    figure = element("p", headline, class_="headline")
    cautions = paragraphs(words.warnings(scores.partial, clamped=scores.clamped, mapped=scores.mapped), "caution")
    return joined(figure, element("p", about, class_="note"), cautions)


def _scores(scores: Scores) -> Markup:
    groups = {"all faces": scores, **scores.subsets}
    parts: list[Content] = [score_table("Scores with 95 % bootstrap intervals", groups, paper=words.paper_of(scores))]
    if scores.regions:
        rows: list[list[Cell]] = [[region, number(nme, ".2f")] for region, nme in scores.regions.items()]
        parts.append(table("Error by region of the face", ["region", "NME, %"], rows))
    if scores.num_unscorable:
        reasons = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in scores.unscorable.items() if n)
        all_faces = scores.num_images + scores.num_unscorable
        text = f"{scores.num_unscorable:,} of {all_faces:,} faces have no score and are not in the table: {reasons}."
        parts.append(element("p", text, class_="caution"))
    return joined(*parts, explained(scores.normalised_by, scores.crop_frame))


def _worst(
    faces: FaceTruth,
    points_px: Real[np.ndarray, "n K 2"],
    errors: Float[np.ndarray, "n K"],
    nmes: Float[np.ndarray, " n"],
) -> Markup:
    if isinstance(faces, FaceCrops):
        return worst_faces(faces, points_px, errors, nmes)
    text = "The images of the set are not here: faces are listed below, without pictures."
    return element("p", text, class_="note")


def _attention(run: TrainedRun | None, crops: FaceCrops | None, nmes: Float[np.ndarray, " n"]) -> Markup:
    if run is None or crops is None:
        text = "These predictions come from elsewhere: where their model looked is not known."
        return element("p", text, class_="note")
    return attention(run, crops, nmes)
