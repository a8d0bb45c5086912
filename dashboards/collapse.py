"""The collapse report: the paper's figures and evidence, from one study, as one self-contained HTML page."""

from dataclasses import replace

from dashboards.collapse_figures import WEIGHTING_CONTROL, choice_control, fields_panel, spectra_panels
from dashboards.collapse_results import (
    CollapseResults,
    plain_labels,
    regularized_pairs,
)
from dashboards.collapse_words import (
    blocks_words,
    families_words,
    regularizer_words,
    spectra_words,
    toy_words,
    trained_words,
)
from dashboards.evidence_figures import (
    ABUNDANCE,
    blocks_control,
    comparison_figure,
    heat_panels,
    label_colors,
    loss_figure,
    path_figure,
    shown_panel,
    trained_panels,
    training_panels,
)
from dashboards.evidence_tables import along_training, over_scales, path
from dashboards.page import Control, ControlKind, Page, Panel, controls_html, panels_html, section_html, text
from dashboards.results import Trial
from dashboards.sections import NOTHING_FINISHED, closing_sections, header_html
from dashboards.style import titled
from dashboards.toy_figures import MOMENT_CONTROL, dim_control, toy_panels

Section = tuple[str, list[Panel]]

HOW_TO_READ = {
    "spectra": "A line that drops early is a collapsed field: few directions carry everything. Compare with the dashed "
    "grey line, the median field before training. Lines end where the table's rank ends.",
    "trained": "IA (information abundance) is the sum of a table's singular values over the largest, between 1 and K. "
    "Coloured: trained tables; grey, open: the same tables before training. Points are means over seeds, bars one "
    "standard deviation. Dashed: multi-embedding (ME), per set. Counting ids by their frequency tells collapse from "
    "rows that were hardly ever trained.",
    "training": "A line per trial, colour and marker by scale, dashed for multi-embedding; the filled marker is the "
    "evaluation whose weights were tested.",
    "fields": "Filled markers are the trained tables, open ones the tables before training: a filled marker below its "
    "open one has lost dimensions. Fields with fewer ids than K cannot reach 1.",
    "blocks": "Eᵢ→ⱼ is what field i shows to field j: its table times their block of the first cross layer, or its "
    "vectors against j in ffm. Fields are in order of the abundance of their own table. If interaction with a "
    "collapsed field collapses what is shown to it, the picture brightens from left to right and the dashed line "
    "rises. First seed of every cell; rank correlations count as clear at level 0.05 over the fields.",
    "toy": "A factorization machine on three fields, labels at random. Only E₁ is trained; its gradient is a sum of "
    "α·s·v over the directions v of the other fields' tables, α being independent of s. Field 3 with 3 ids has 3 "
    "directions only. Look whether the vermillion line falls below the blue one, and whether the push along those 3 "
    "directions is stronger than along any other. Thin lines are single seeds.",
    "regularizer": "The regulariser makes the blocks between fields scaled rotations, so that they cannot collapse "
    "what they show; that is measured on the first seed of every cell. If collapse alone held quality back, AUC would "
    "rise with abundance, in the last figure to the upper right.",
    "losses": "A path per trial, an evaluation per marker; training goes from left to right, since the train loss "
    "falls. A path that bends down on its right end over-fits. The weights of the filled marker were tested.",
    "families": "If IA / K decided quality, the family with the higher line on the left would also have the higher "
    "line on the right. Dashed: multi-embedding.",
}
NO_TOY = "No toy run is stored: the study's recipe makes them when it ends, unless --toy-seeds is 0."


def report_page(results: CollapseResults) -> Page:
    """The whole page."""
    study = results.study
    bodies: list[Section] = [_toy(results)]
    if study.finished:
        before = [_spectra(results), _trained(results), _blocks(results)]
        bodies = [*before, *bodies, _regularizer(results), _families(results)]
    sections = [header_html(study) + ("" if study.finished else NOTHING_FINISHED)]
    sections += [body for body, _ in bodies] + closing_sections(study)
    panels = [panel for _, drawn in bodies for panel in drawn]
    return Page(f"{study.name} · collapse report", sections, panels)


def _section(title: str, sentence: str, body: str, panels: list[Panel]) -> Section:
    """A section that opens with what was found."""
    return section_html(title, f'<p class="found">{text(sentence)}</p>{body}'), panels


def _spectra(results: CollapseResults) -> Section:
    """Fig 1b."""
    title = "Spectra: how many directions carry a table?"
    if not results.study.spectra:
        return _section(title, "spectra.parquet has not been written, so there are no spectra.", "", [])
    panels = spectra_panels(results.study)
    body = controls_html(panels[0].controls) + panels_html(panels, HOW_TO_READ["spectra"])
    return _section(title, spectra_words(results), body, panels)


def _trained(results: CollapseResults) -> Section:
    """Fig 2."""
    title = "Information abundance: learned against random"
    body, panels = controls_html((WEIGHTING_CONTROL,)), []
    if results.looks:
        for name, drawn in (("trained", trained_panels(results)), ("training", training_panels(results))):
            body += panels_html(drawn, HOW_TO_READ[name])
            panels += drawn
    if results.study.spectra:
        choice = replace(choice_control(results.study), name="field-choice")
        fields = replace(fields_panel(results.study), controls=(choice, WEIGHTING_CONTROL))
        fields = replace(fields, title="IA / K per field: does training lower it?")
        body += controls_html((choice,)) + panels_html([fields], HOW_TO_READ["fields"])
        panels.append(fields)
    return _section(title, trained_words(results), body, panels)


def _blocks(results: CollapseResults) -> Section:
    """Evidence I."""
    title = "Evidence I: what fields show to each other"
    if not results.sub_embeddings:
        return _section(title, blocks_words(results), "", [])
    panels = heat_panels(results)
    body = controls_html((blocks_control(results),)) + panels_html(panels, HOW_TO_READ["blocks"])
    return _section(title, blocks_words(results), body, panels)


def _toy(results: CollapseResults) -> Section:
    """Evidence II."""
    title = "Evidence II: a small field and the gradient it causes (toy experiment)"
    if not results.toy:
        return _section(title, NO_TOY, "", [])
    panels = toy_panels(results.toy)
    body = controls_html((dim_control(results.toy), MOMENT_CONTROL)) + panels_html(panels, HOW_TO_READ["toy"])
    return _section(title, toy_words(results.toy), body, panels)


def _regularizer(results: CollapseResults) -> Section:
    """Evidence III."""
    title = "Evidence III: with and without the orthogonality regulariser"
    pairs = regularized_pairs(results)
    if not pairs:
        return _section(title, regularizer_words(results), "", [])
    labels = list(dict.fromkeys(label for pair in pairs for label in pair))
    arms = {trial.arm for trial in results.study.finished if trial.family in {label for _, label in pairs}}
    trials = tuple(trial for trial in results.study.finished if trial.family in labels and trial.arm in arms)
    panels = [shown_panel(results, labels), *_regularizer_panels(trials, labels)]
    losses = _loss_panel(results, trials, labels)
    body = panels_html(panels, HOW_TO_READ["regularizer"])
    body += controls_html(losses.controls) + panels_html([losses], HOW_TO_READ["losses"])
    return _section(title, regularizer_words(results), body, [*panels, losses])


def _regularizer_panels(trials: tuple[Trial, ...], labels: list[str]) -> list[Panel]:
    """IA / K and AUC against scale, and against each other."""
    colors = label_colors(labels)
    cells = dict.fromkeys((trial.family, trial.arm) for trial in trials)
    paths = {(label, arm): path(trials, label, arm, "ia_ratio_mean", "test_auc") for label, arm in cells}
    drawn = path_figure(paths, colors, (ABUNDANCE["ia_ratio_mean"], "test AUC"))
    return [
        _over_scales_panel(
            "regularizer-ia", "IA / K of tables against scale: does it rise?", trials, "ia_ratio_mean", colors
        ),
        _over_scales_panel("regularizer-auc", "Test AUC against scale: does it follow?", trials, "test_auc", colors),
        Panel("regularizer-path", "Test AUC against IA / K, by scale: to the upper right?", (), (drawn,)),
    ]


def _loss_panel(results: CollapseResults, trials: tuple[Trial, ...], labels: list[str]) -> Panel:
    """Train loss against valid AUC, per scale."""
    colors, ids = label_colors(labels), {trial.trial_id for trial in trials}
    runs = [looks for label in labels for trial, looks in along_training(results, label).items() if trial in ids]
    scales = sorted({looks[0].scale for looks in runs}, reverse=True)
    title = "Valid AUC against train loss: where does it over-fit?"
    if not scales:
        return Panel("losses", title, (), (loss_figure([], colors),))
    control = Control("loss-scale", "Scale", ControlKind.BUTTONS, tuple(f"{scale:g}×" for scale in scales))
    figures = tuple(loss_figure([looks for looks in runs if looks[0].scale == scale], colors) for scale in scales)
    return Panel("losses", title, (control,), figures)


def _families(results: CollapseResults) -> Section:
    """Evidence IV."""
    labels = plain_labels(results)
    colors = label_colors(labels)
    trials = tuple(trial for trial in results.study.finished if trial.family in labels)
    panels = [
        _over_scales_panel(
            "families-ia", "IA / K against scale: which family lies higher?", trials, "ia_ratio_mean", colors
        ),
        _over_scales_panel(
            "families-auc", "Test AUC against scale: is it the same family?", trials, "test_auc", colors
        ),
    ]
    body = panels_html(panels, HOW_TO_READ["families"])
    return _section("Evidence IV: families of unlike abundance", families_words(results), body, panels)


def _over_scales_panel(name: str, title: str, trials: tuple[Trial, ...], column: str, colors: dict[str, str]) -> Panel:
    axes = {
        "ia_ratio_mean": titled(ABUNDANCE["ia_ratio_mean"], rangemode="tozero"),
        "test_auc": titled("test AUC", tickformat=".4~f", nticks=7),
    }
    return Panel(name, title, (), (comparison_figure(over_scales(trials, list(colors), column), axes[column], colors),))
