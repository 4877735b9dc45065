# SPDX-License-Identifier: Apache-2.0
"""The report of several evaluations of the same faces."""

from collections.abc import Sequence

from barrel_jax.evaluation import score_table as words
from barrel_jax.evaluation.comparison import Comparison, Evaluation
from barrel_jax.report.markup import Content, Markup, element, joined
from barrel_jax.report.page import Section, fold, page, paragraphs
from barrel_jax.report.scores import error_curves, explained, face_table, score_table
from barrel_jax.report.training import report_versions


def comparison_report(evaluations: Sequence[Evaluation], comparison: Comparison) -> str:
    """A report as a whole HTML document, of evaluations and of `comparison.compare` of them."""
    title = f"{comparison.dataset} {comparison.split}"
    cautions = words.warnings(comparison.partial, clamped=comparison.clamped, mapped="")
    cautions += [f"{one.name}: {words.MAPPED.format(one.mapped)}" for one in comparison.evaluations if one.mapped]
    lead = element("p", f"{comparison.num_faces:,} faces, {len(evaluations)} evaluations.", class_="note")
    sections = [
        *comparison_sections(evaluations, comparison),
        Section("Versions", report_versions()),
    ]
    return page(f"Comparison on {title}", joined(lead, paragraphs(cautions, "caution")), sections)


def comparison_sections(evaluations: Sequence[Evaluation], comparison: Comparison, of: str = "") -> list[Section]:
    """The parts of a page that lay evaluations of the same faces beside each other; `of` ends their headings."""
    first = evaluations[0]
    curves = {one.name: one.nmes for one in evaluations}
    title = f"Cumulative error: {comparison.dataset} {comparison.split}"
    faces = face_table(
        [file for file, _ in first.faces], [face for _, face in first.faces], curves, first.flags, first.flag_names
    )
    return [
        Section(f"Scores{of}", _scores(comparison)),
        Section(f"Error curves{of}", error_curves(title, curves, comparison.normalised_by)),
        Section(f"All faces{of}", faces),
    ]


def _scores(comparison: Comparison) -> Markup:
    evaluations = comparison.evaluations
    frames = ", ".join(dict.fromkeys(one.crop_frame for one in evaluations if one.crop_frame))
    more = (
        f"difference: NME minus that of {evaluations[0].name}, in percentage points, below 0 when better",
        f"p: {comparison.test}",
    )
    subsets: list[Content] = [
        fold(
            f"Scores on {group}",
            score_table(f"Scores on {group}", {one.name: one.subsets[group] for one in evaluations}, "evaluation"),
        )
        for group in evaluations[0].subsets
    ]
    whole = score_table("Scores on all faces", {one.name: one for one in evaluations}, "evaluation")
    folders = [element("li", f"{one.name}: {one.directory}") for one in evaluations]
    meaning = explained(comparison.normalised_by, frames, *more)
    return joined(whole, *subsets, meaning, fold("Folders", element("ul", folders)))
