"""The frame around a served page: what of the study is done, links to MLflow and Ray, and a reload when it changes."""

import html
from pathlib import Path
from urllib.parse import urlsplit

ASSETS = Path(__file__).parent


def frame_html(name: str, mlflow: str, ray_dashboard: str) -> str:
    """The frame of a study's page; every string is the user's and is escaped."""
    style, script = ((ASSETS / asset).read_text() for asset in ("frame.css", "frame.js"))
    links = [
        '<a href="/">all studies</a>',
        f"<b>{html.escape(name)}</b>",
        '<span id="standing" role="status">…</span>',
        _mlflow(mlflow),
        _link(ray_dashboard, "Ray dashboard (while the study runs)"),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)} · live</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{style}</style></head><body><nav>{' '.join(filter(None, links))}</nav>"
        f'<iframe id="page" src="report" title="Report of {html.escape(name)}"></iframe>'
        f"<script>{script}</script></body></html>\n"
    )


def _mlflow(uri: str) -> str:
    """A link to a server, or the command that shows a store which has none."""
    if not uri or urlsplit(uri).scheme in ("http", "https"):
        return _link(uri, "MLflow")
    return f"<span>MLflow: <code>mlflow ui --backend-store-uri {html.escape(uri)}</code></span>"


def _link(address: str, words: str) -> str:
    """A link to a web address; nothing for anything else."""
    if urlsplit(address).scheme not in ("http", "https"):
        return ""
    return f'<a href="{html.escape(address)}">{words}</a>'
