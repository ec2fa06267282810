"""The report as one HTML file without anything outside it, and as PDF through a browser."""

from __future__ import annotations

import base64
import datetime
import html
import io
import json
import math
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .. import __version__
from ..errors import MissingPackageError, OutputError, encodable, without_secrets
from ..evaluation import Evaluation, Interval, either_way
from ..files import atomic_output
from ..plots.style import style
from .collect import Report
from .figures import NamedFigure
from .study_sections import StudySection

__all__ = ["find_browser", "render_page", "to_pdf", "write_page"]

_PICTURE = re.compile(r"(data:image/png;base64,[A-Za-z0-9+/=]*)")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 24px 28px 60px; background: #fff; color: #1d232b;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 34px 0 8px;
  border-bottom: 2px solid #3f90da; padding-bottom: 3px; }
p { margin: 6px 0; } .quiet { color: #5a6572; font-size: 14px; }
nav { margin: 12px 0 0; font-size: 14px; line-height: 1.9; }
nav a { margin-right: 14px; white-space: nowrap; }
a { color: #1f5f9e; } a:focus-visible { outline: 2px solid #ffa90e; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: 8px 0 4px; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: right; border-bottom: 1px solid #dde3ea; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid #1d232b; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 10px 0 4px; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #5a6572; font-size: 14px; max-width: 80ch; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; align-items: start; }
pre { background: #f5f7fa; border: 1px solid #dde3ea; padding: 10px 12px; font-size: 12.5px; line-height: 1.4;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.note { background: #fff6e0; border-left: 4px solid #ffa90e; padding: 6px 12px; margin: 8px 0; }
.verdict { font-size: 17px; max-width: 75ch; border-left: 4px solid #3f90da; padding: 4px 14px; }
ol li { margin: 3px 0; }
@media screen and (max-width: 760px) { .pair { grid-template-columns: 1fr; } body { padding: 16px 14px 40px; }
  table { font-size: 12px; } th, td { white-space: normal; padding-right: 7px; overflow-wrap: anywhere; } }
@media print { @page { size: A4; margin: 14mm; } body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; } figure img { max-height: 115mm; max-width: 100%; width: auto !important; }
  figure, table, .note { break-inside: avoid; } h2 { break-after: avoid; }
  table { font-size: 8.5pt; } th, td { padding-right: 7px; white-space: normal; }
  .scroll { overflow: visible; } a { color: inherit; text-decoration: none; } }
"""


def render_page(report: Report) -> str:
    """The page as HTML text: no script, no link to a file, figures inline."""
    sections: list[tuple[str, str, str]] = [("summary", "Summary", _summary(report))]
    figures = {f.name: f for f in report.figures}
    both = [name for name in ("roc", "sic") if name in figures]
    if both:
        body = (
            '<div class="pair">'
            + "".join(_figure(figures.pop(name), heading=True) for name in both)
            + "</div>"
        )
        sections.append(("performance", "ROC and significance improvement", body))
    for figure in figures.values():
        sections.append((figure.name, figure.title, _figure(figure)))
    keys: Counter[str] = Counter()
    for study in report.studies:
        keys[study.name] += 1
        key = study.name if keys[study.name] == 1 else f"{study.name}-{keys[study.name]}"
        sections.append((key, study.title, _study(study)))
    sections += [
        ("cutflow", "Cut flow", _cut_flow(report)),
        ("configuration", "Configuration", _configurations(report)),
        ("provenance", "Provenance", _provenance(report)),
        ("references", "References", _references(report)),
    ]
    links = " ".join(f'<a href="#{key}">{html.escape(title)}</a>' for key, title, _ in sections)
    body = "\n".join(
        f'<section id="{key}"><h2>{html.escape(title)}</h2>\n{text}</section>'
        for key, title, text in sections
    )
    made = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    title = html.escape(report.title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>jetad report: {title}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f'<header><h1>{title}</h1><p class="quiet">jetad {__version__} report, {made}</p>'
        f"<nav>{links}</nav></header>\n<main>\n{body}\n</main>\n</body></html>\n"
    )


def write_page(report: Report, path: str | Path, *, force: bool = False) -> Path:
    """Write the page.

    Raises:
        OutputError: if the file exists and not ``force``.
    """
    with atomic_output(path, force=force) as temporary:
        # not in the pictures, where any letters may follow each other
        parts = _PICTURE.split(encodable(render_page(report)))
        parts[::2] = [without_secrets(part) for part in parts[::2]]
        temporary.write_text("".join(parts), encoding="utf-8")
    return Path(path)


# --- sections ------------------------------------------------------------------------------------


def _summary(report: Report) -> str:
    parts = [f'<p class="verdict">{html.escape(" ".join(report.verdict))}</p>']
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in report.notes]
    for evaluation in report.evaluations:
        head = f"<b>{html.escape(evaluation.name)}</b>, " if evaluation.name else ""
        parts.append(f"<p>{head}{evaluation.n_background} background jets.</p>")
        parts.append(_numbers(evaluation))
    if report.evaluations:
        parts.append(
            '<p class="quiet">Intervals are 68 %. Mass and pT alone: the AUC of that number without any '
            "detector, in the better direction; a detector not above it may have learned nothing else.</p>"
        )
        parts += [f'<p class="note">{html.escape(text)}</p>' for text in _warnings(report)]
    if report.paired:
        at = list(report.paired[0].rejection_ratio)
        rows = [
            [
                pair.signal, f"{pair.first} − {pair.second}",
                f"{pair.auc_difference:+.4f} ± {pair.auc_error:.4f}",
                f"{pair.p_value:.2g}", *(_interval(r) for r in pair.rejection_ratio.values()),
            ]
            for pair in report.paired
        ]  # fmt: skip
        parts.append("<p>The same jets in pairs:</p>")
        header = ["signal", "runs", "AUC difference", "p-value", *(f"rejection ratio at {x:g}" for x in at)]
        parts.append(_table(header, rows))
    if not report.evaluations:
        parts.append(
            "<p>No signal was given: there is no ROC curve, only what the score does to background.</p>"
        )
    known = {name: v for name, v in report.correlations.items() if math.isfinite(v)}
    if known:
        text = ", ".join(f"{name} {value:+.2f}" for name, value in known.items())
        parts.append(f"<p>Rank correlation of the score on background jets with: {text}.</p>")
    return "\n".join(parts)


def _numbers(evaluation: Evaluation) -> str:
    first = next(iter(evaluation.signals.values()))
    header = [
        "signal",
        "jets",
        "AUC",
        *(f"1/ε<sub>B</sub> at ε<sub>S</sub> = {x:g}" for x in first.background_rejection),
    ]
    header += ["max SIC", "pT alone", "mass alone"]
    fixed = ["signal", *(f"ε<sub>S</sub> at ε<sub>B</sub> = {x:g}" for x in first.signal_efficiency_at)]
    rows, more = [], []
    for name, result in evaluation.signals.items():
        curve, best = result.curve, result.max_sic
        rows.append(
            [
                name, str(curve.n_signal), f"{curve.auc:.4f} ± {_plain(curve.auc_error, '.4f')}",
                *(_interval(v) for v in result.background_rejection.values()),
                "–" if math.isnan(best.value) else f"{best.value:.2f}",
                _plain(either_way(result.pt_only_auc), ".3f"),
                _plain(either_way(result.mass_only_auc), ".3f"),
            ]
        )  # fmt: skip
        more.append([name, *(_interval(v) for v in result.signal_efficiency_at.values())])
    return _table(header, rows, plain_header=False) + _table(fixed, more, plain_header=False)


def _warnings(report: Report) -> Iterable[str]:
    """What a reader must not overlook: signals that jet mass or pT alone find as well."""
    for evaluation in report.evaluations:
        where = f"{evaluation.name}: " if evaluation.name else ""
        for name, result in evaluation.signals.items():
            auc = result.curve.auc
            if auc < 0.5:
                yield f"{where}{name} jets look less anomalous than background (AUC {auc:.3f})."
            for what, alone in (("mass", result.mass_only_auc), ("pT", result.pt_only_auc)):
                if math.isfinite(alone) and either_way(alone) >= auc >= 0.5:
                    yield f"{where}jet {what} alone finds {name} as well (AUC {either_way(alone):.3f})."


def _study(study: StudySection) -> str:
    header, *rows = study.rows
    figure = NamedFigure(study.name, study.title, study.caption, study.figure)
    return f"<p>{html.escape(study.text)}</p>" + _table(header, rows) + _figure(figure)


def _cut_flow(report: Report) -> str:
    rows = []
    for row in report.cut_flow:
        scored = row.counts[1] or 1
        share = [f"{n}" if i < 2 else f"{n} ({100 * n / scored:.3g} %)" for i, n in enumerate(row.counts)]
        rows.append([row.sample, *share])
        if row.sums is not None:
            rows.append([f"{row.sample}, weighted", *(f"{value:.5g}" for value in row.sums)])
    text = '<p class="quiet">Cuts are fixed on the background above; shares are of the scored jets.</p>'
    return _table(["sample", *report.cut_names], rows) + text


def _configurations(report: Report) -> str:
    return "".join(
        _folded(f"All settings of {name}", run.config().to_yaml()) for name, run in report.runs.items()
    )


def _provenance(report: Report) -> str:
    parts = []
    for name, run in report.runs.items():
        kept = dict(run.provenance)
        kept["model_hash"] = run.model_hash()
        parts.append(_folded(f"Versions, command and input files of {name}", json.dumps(kept, indent=1)))
    files = "\n".join(f"{name}: {', '.join(paths)}" for name, paths in report.inputs.items())
    return "".join(parts) + f"<p>Files of this report</p><pre>{html.escape(files)}</pre>"


def _references(report: Report) -> str:
    items = []
    for reference in report.references:
        text = html.escape(reference.text())
        if reference.url:
            text = f'<a href="{html.escape(reference.url)}">{text}</a>'
        items.append(f'<li>{text} <span class="quiet">({html.escape(reference.used_for)})</span></li>')
    return f"<ol>{''.join(items)}</ol>"


def _folded(title: str, text: str) -> str:
    """Long text behind its title: opened by a click, and left out on paper."""
    return f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>"


# --- pieces --------------------------------------------------------------------------------------


def _figure(named: NamedFigure, *, heading: bool = False) -> str:
    buffer = io.BytesIO()
    with style():
        width = named.figure.get_figwidth()
        # about 1500 pixels across: sharp on a page of 1100, light in the file
        named.figure.savefig(buffer, format="png", dpi=min(110, 1500 / width), metadata={"Software": "jetad"})
    data = base64.b64encode(buffer.getvalue()).decode()
    tall = width < 16 and named.figure.get_figheight() > 0.8 * width  # else its many panels would be small
    limit = ' style="width: 640px"' if not heading and (width < 12 or tall) else ""
    return (
        f'<figure><img alt="{html.escape(named.title)}" src="data:image/png;base64,{data}"{limit}>'
        f"<figcaption>{html.escape(named.caption)}</figcaption></figure>\n"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, plain_header: bool = True) -> str:
    head = "".join(f"<th>{html.escape(cell) if plain_header else cell}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


def _interval(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "–"
    if math.isinf(interval.value):
        return f"> {interval.low:.3g}"
    high = "∞" if math.isinf(interval.high) else f"{interval.high:.3g}"
    return f"{interval.value:.3g} [{interval.low:.3g}, {high}]"


def _plain(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


# --- PDF -----------------------------------------------------------------------------------------


def find_browser() -> str | None:
    """A Chromium or Chrome on the path."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def to_pdf(page: str | Path, path: str | Path, *, force: bool = False, timeout: float = 120.0) -> Path:
    """Print a page to PDF with a headless browser.

    Raises:
        MissingPackageError: if there is no Chromium or Chrome.
        OutputError: if the file exists and not ``force``, or the browser fails.
    """
    browser = find_browser()
    if browser is None:
        raise MissingPackageError(
            "PDF needs Chromium (Debian: apt install chromium) or Chrome; or open the page and print it"
        )
    with atomic_output(path, force=force) as temporary, tempfile.TemporaryDirectory() as profile:
        words = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={temporary.absolute()}", Path(page).absolute().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(f"{path}: the browser did not print the page ({error})") from error
        if done.returncode or not temporary.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise OutputError(f"{path}: the browser did not print the page ({last})")
    return Path(path)
