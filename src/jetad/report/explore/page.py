"""The interactive page as one HTML file: data, program, plotting library; nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...errors import without_secrets
from ...extras import needing
from ...files import atomic_output
from ...plots.style import COLORS
from ...shown import printable
from .collect import LEVELS, Explored

__all__ = ["render_explored", "write_explored"]

_HERE = Path(__file__).parent
_LARGEST = 1.5  # of eta' and phi' that the page shows
_PT_DECADES = (-2.0, 4.0)  # of the constituents' pT [GeV] that the page shows


def render_explored(found: Explored) -> str:
    """The page as HTML text.

    A policy in it forbids the browser to load or send anything, and to run any script but the two that are
    meant: names of files and columns are text, whatever they hold.

    Raises:
        MissingPackageError: without plotly.
    """
    with needing("explore", "the page is drawn by plotly"):
        from plotly.offline import get_plotlyjs
    library = _closed(get_plotlyjs())
    program = _closed((_HERE / "page.js").read_text(encoding="utf-8"))
    blob, places = _packed(found)
    meta = {
        "title": found.title, "classes": found.classes, "files": found.files, "arrays": places,
        "columns": list(found.columns), "features": found.features, "members": found.members,
        "pictures": [{"title": p.title, "signed": p.signed} for p in found.pictures],
        "size": list(found.pictures[0].levels.shape[1:]) if found.pictures else [0, 0],
        "extent": found.extent, "levels": LEVELS, "colors": COLORS, "n": len(found.kind),
        "reach": _LARGEST, "decades": _PT_DECADES,
    }  # fmt: skip
    policy = (
        f"default-src 'none'; script-src {_hash(library)} {_hash(program)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    title = html.escape(_text(found.title))
    notes = "".join(f"<li>{html.escape(_text(note))}</li>" for note in found.notes)
    body = (_HERE / "page.html").read_text(encoding="utf-8")
    body = body.replace("{{title}}", title).replace("{{notes}}", notes).replace("{{version}}", __version__)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>jetad explore: {title}</title>\n"
        f"<style>{(_HERE / 'page.css').read_text(encoding='utf-8')}</style></head>\n<body>\n{body}\n"
        f'<script type="application/json" id="meta">{_json(meta)}</script>\n'
        f'<script type="text/plain" id="data">{base64.b64encode(blob).decode()}</script>\n'
        f"<script>{library}</script>\n<script>{program}</script>\n</body></html>\n"
    )


def write_explored(found: Explored, path: str | Path, *, force: bool = False) -> Path:
    """Write the page.

    Raises:
        MissingPackageError: without plotly.
        OutputError: if the file exists and not ``force``.
    """
    text = render_explored(found)
    with atomic_output(path, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _packed(found: Explored) -> tuple[bytes, dict[str, tuple[str, int, int]]]:
    """All arrays in one compressed block, and for each its type, first byte and length."""
    arrays: dict[str, NDArray[Any]] = {
        f"column {i}": values.astype("<f4") for i, values in enumerate(found.columns.values())
    }
    arrays["entry"] = found.entry.astype("<f8")
    arrays["offsets"] = found.offsets.astype("<u4")
    scale = 32767 / _LARGEST
    directions = np.clip(np.nan_to_num(found.constituents[:, :2]) * scale, -32767, 32767)
    arrays["directions"] = np.rint(directions).astype("<i2")
    decades = np.log10(np.clip(np.nan_to_num(found.constituents[:, 2]), *(10.0**d for d in _PT_DECADES)))
    low, high = _PT_DECADES
    arrays["pt"] = np.rint((decades - low) / (high - low) * 65535).astype("<u2")
    arrays["kind"], arrays["file"] = found.kind, found.file
    arrays |= {f"picture {i}": picture.levels for i, picture in enumerate(found.pictures)}
    parts, places, at = [], {}, 0
    for name, array in sorted(
        arrays.items(), key=lambda item: -item[1].itemsize
    ):  # each at a multiple of its size
        data = np.ascontiguousarray(array).tobytes()
        places[name] = (array.dtype.str.lstrip("<|"), at, array.size)
        parts.append(data)
        at += len(data)
    return zlib.compress(b"".join(parts), 9), places


def _text(text: str) -> str:
    """A name as a page can hold it."""
    return without_secrets(printable(text))


def _json(value: Any) -> str:
    """JSON that ends no script and holds nothing secret."""
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return _text(value) if isinstance(value, str) else value


def _closed(script: str) -> str:
    r"""A script that cannot end its element early: in the strings of JavaScript ``<\/`` is ``</``."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
