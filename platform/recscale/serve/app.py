"""`recscale serve`: the pages of a storage on 127.0.0.1, refreshed as trials finish."""

from collections.abc import Callable
from dataclasses import asdict

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from recscale.errors import ConfigError, RecscaleError
from recscale.serve.frame import frame_html
from recscale.serve.pages import Pages
from recscale.study.study import Study

HOST = "127.0.0.1"
OWN_NAMES = [HOST, "localhost"]
"""Names under which a browser may ask: a page of somebody else's that resolves to this machine gets no answer."""
NO_CACHE = {"Cache-Control": "no-store"}
INDEX_REFRESH = {**NO_CACHE, "Refresh": "10"}

IndexHtml = Callable[[Pages], str]
"""The index page of a storage as text."""


def make_app(pages: Pages, index_html: IndexHtml) -> Starlette:
    """The web application: / is the index, /study/NAME/ a study's live page."""

    def index(request: Request) -> Response:
        return HTMLResponse(index_html(pages), headers=INDEX_REFRESH)

    def frame(request: Request) -> Response:
        def show(study: Study) -> Response:
            known = dict(study.provenance)
            return HTMLResponse(
                frame_html(study.folder.name, known.get("mlflow_address", ""), known.get("ray_dashboard", "")),
                headers=NO_CACHE,
            )

        return _of_study(request, show)

    def report(request: Request) -> Response:
        return _of_study(request, lambda study: HTMLResponse(pages.report(study), headers=NO_CACHE))

    def state(request: Request) -> Response:
        return _of_study(request, lambda study: JSONResponse(asdict(pages.standing(study)), headers=NO_CACHE))

    def _of_study(request: Request, respond: Callable[[Study], Response]) -> Response:
        """The response for the study in the address; 404 without one, 500 with the reason where it is broken."""
        name = request.path_params["name"]
        try:
            study = pages.study(name)
            if study is None:
                return PlainTextResponse(f"no study {name!r} in {pages.storage}", status_code=404)
            return respond(study)
        except RecscaleError as error:
            return PlainTextResponse(f"error: {error}", status_code=500)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/study/{name}/", frame),
            Route("/study/{name}/report", report),
            Route("/study/{name}/state", state),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES)],
    )


def serve(pages: Pages, index_html: IndexHtml, port: int) -> None:
    """Serves until interrupted; ConfigError where the port is taken."""
    config = uvicorn.Config(make_app(pages, index_html), host=HOST, port=port, log_level="warning")
    try:
        listener = config.bind_socket()
    except SystemExit as error:
        raise ConfigError(f"port {port} of {HOST} cannot be used; choose another with --port") from error
    address = f"http://{HOST}:{listener.getsockname()[1]}"
    print(f"{pages.storage} is served at {address} ; end with Ctrl-C", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
