"""The page of a study along one axis: data amount, depth or weight decay, against quality and collapse."""

from dataclasses import dataclass

from dashboards import privacy
from dashboards.axis_figures import READING_CONTROL, abundance_pairs, quality_panels
from dashboards.axis_tables import Place, Spacing, StudyAxis, numeric_axis
from dashboards.axis_words import change_rows, changes_html, sentences
from dashboards.figures import METRIC_CONTROL, model_title
from dashboards.page import Page, Panel, controls_html, grid_html, how_html, panels_html, section_html, text
from dashboards.results import StudyResults, Trial
from dashboards.sections import NOTHING_FINISHED, closing_sections, header_html
from dashboards.tables import models, trials_of

HOW_VERDICT = (
    "Differences of means over seeds with 90 % Welch intervals, then the range of the differences. “Within seed noise” "
    "is no proof of no effect: add seeds to see smaller ones. Where many configurations are compared, one in ten shows "
    "a change by chance alone. All trials share one test split, whose own noise is not in these intervals. IA/K of "
    "multi-embedding is that of its sets, each by itself."
)
HOW_QUALITY = (
    "Points are means over seeds, bars one standard deviation, faint dots single trials. Colours and marker "
    "shapes tell scales; solid lines with filled markers are single-embedding (SE), dashed ones with open markers "
    "multi-embedding (ME)."
)
HOW_ABUNDANCE = (
    "IA / K is the share of its dimensions that a table uses. First every id counts once, so that rows which were "
    "hardly ever trained, or were erased, weigh as much as any; then ids count by their frequency in the train split. "
    "Collapse by interaction shows in both; what only rare rows do shows in the first alone. {more}"
)


@dataclass(frozen=True)
class AxisPage:
    """A study's question along one axis."""

    title: str
    """What the page is about."""
    question: str
    """What a reader wants to know."""
    axis: StudyAxis
    """What everything is drawn against."""
    caution: str
    """What to keep in mind while reading the figures of IA / K."""


def _decay_place(trial: Trial) -> Place | None:
    """Weight decay in words, by table optimizer."""
    settings = dict(trial.further)
    if "weight_decay" not in settings:
        return None
    weight, kind = float(settings["weight_decay"]), settings.get("decay", "")
    group = settings.get("table_optimizer", "")
    if weight == 0:
        return Place(0.0, "none", group)
    return Place(2.0 if kind == "decoupled" else 1.0, f"{kind} {weight:g}".strip(), group)


DATA_AMOUNT = AxisPage(
    title="data amount",
    question="Do quality and embedding collapse depend on how much data a model is trained on, and at which K? Guo et "
    "al. (2024) see collapse for want of data at the smallest amount only.",
    axis=numeric_axis("train fraction", "share of the train split trained on", "train_fraction", Spacing.LOG),
    caution="Vocabularies and frequencies are those of the whole train split at every amount. Ids that a fraction "
    "never shows keep their initial rows, whose IA is high, or are erased where dense Adam has L2 inside: where ids "
    "count once, a change with the amount may be theirs alone.",
)
DEPTH = AxisPage(
    title="depth of the cross network",
    question="Do quality and embedding collapse depend on the number of cross layers?",
    axis=numeric_axis("cross layers", "cross layers", "cross_layers", Spacing.LINEAR),
    caution="Every further layer also adds dense parameters and FLOPs: see the table of trials.",
)
DECAY = AxisPage(
    title="weight decay and table optimizer",
    question="Is low IA / K embedding collapse, or rows that weight decay erased? L2 inside dense Adam drives rows "
    "without gradients to zero within a hundred steps; decoupled decay shrinks all rows slowly and alike; L2 "
    "of optimizers that touch only the rows of a batch leaves the others alone.",
    axis=StudyAxis(
        name="decay",
        title="weight decay, by table optimizer",
        columns=("weight_decay", "decay", "table_optimizer"),
        spacing=Spacing.CATEGORIES,
        place=_decay_place,
    ),
    caution="Where decay lowers IA / K only where ids count once, it erased rare rows.",
)


def report_page(page: AxisPage, results: StudyResults) -> Page:
    """The whole page."""
    sections, panels = [header_html(results)], []
    if results.finished:
        sections.append(section_html(f"Verdict on {page.title}", _verdict(page, results)))
        for body, drawn in (_quality(page, results), _collapse(page, results), privacy.section(results, page.axis)):
            sections.append(body)
            panels += drawn
    else:
        sections.append(NOTHING_FINISHED)
    sections += closing_sections(results)
    return Page(f"{results.name} · {page.title}", sections, panels)


def _verdict(page: AxisPage, results: StudyResults) -> str:
    """The question, one card per family, and every configuration's changes."""
    trials = {model_title(model): trials_of(results, model) for model in models(results)}
    cards = "".join(
        f'<div class="card"><h3>{text(title)}</h3>'
        f"{''.join(f'<p>{text(sentence)}</p>' for sentence in sentences(members, page.axis))}</div>"
        for title, members in trials.items()
    )
    rows = {title: change_rows(members, page.axis) for title, members in trials.items()}
    return (
        f'<p>{text(page.question)}</p><div class="cards">{cards}</div>{how_html(HOW_VERDICT)}'
        f"{changes_html(rows, page.axis)}"
    )


def _quality(page: AxisPage, results: StudyResults) -> tuple[str, list[Panel]]:
    """Quality against the axis."""
    panels = quality_panels(results, page.axis)
    body = controls_html((METRIC_CONTROL,)) + panels_html(panels, HOW_QUALITY)
    return section_html(f"Quality against {page.axis.name}", body), panels


def _collapse(page: AxisPage, results: StudyResults) -> tuple[str, list[Panel]]:
    """IA / K against the axis, per family both ways to count ids."""
    pairs = abundance_pairs(results, page.axis)
    grids = "".join(grid_html(pair) for pair in pairs)
    body = controls_html((READING_CONTROL,)) + grids + how_html(HOW_ABUNDANCE.format(more=page.caution))
    return section_html(f"Collapse against {page.axis.name}", body), [panel for pair in pairs for panel in pair]
