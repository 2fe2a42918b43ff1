"""The model server's endpoints."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version as package_version
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from configs.serving import ServingConfig
from tasks.serving.attribution import attribute, find_words, leave_out
from tasks.serving.batching import BATCH_CHARACTERS, Batcher, QueueFull, Scored
from tasks.serving.bearer import has_token
from tasks.serving.exchange import Exchange
from tasks.serving.following import Follower, NotReady
from tasks.serving.messages import (
    Asked,
    Explanation,
    Fault,
    Faults,
    Health,
    LastTrouble,
    Malformed,
    OneText,
    Predictions,
    Problem,
    Ready,
    ScoredText,
    ServedVersion,
    Texts,
    parse,
)
from tasks.serving.metrics import CONTENT_TYPE, Metrics

PAGE = Path(__file__).parent / "page"
HELD_BYTES = 256 << 20
"""Of the bodies of all requests together: beyond it, a request is told to come again."""
RETRY_SECONDS = "1"
TITLE = "Reprise model server"
DESCRIPTION = "Scores reviews with the champion of a registered model."

Question = TypeVar("Question", bound=Asked)


class Server:
    """One model server: what its endpoints share."""

    def __init__(self, config: ServingConfig, follower: Follower, batcher: Batcher, metrics: Metrics) -> None:
        """Take the parts, none of which has begun."""
        self.config, self.follower, self.batcher, self.metrics = config, follower, batcher, metrics
        self._held = 0

    @asynccontextmanager
    async def asked(self, request: Request, kind: type[Question]) -> AsyncIterator[Question]:
        """Yield what a request asks; the block, and the reading before it, together take as long as a request may.

        Raises:
            Malformed: it asks nothing that can be answered.
            HTTPException: 408, 413, 415 or 503.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "the body must be JSON: Content-Type: application/json")
        body = bytearray()
        whole = False
        try:
            async with asyncio.timeout(self.config.request_seconds):
                self._require_small(int(request.headers.get("content-length") or 0))
                async for chunk in request.stream():
                    self._held += len(chunk)
                    body += chunk
                    self._require_small(len(body))
                whole = True
                yield parse(bytes(body), kind)
        except TimeoutError:
            if whole:
                raise _busy("there was no time to score it: come again") from None
            raise HTTPException(408, f"the body was not there within {self.config.request_seconds:g} s") from None
        except QueueFull:
            raise _busy("too many texts wait already: come again") from None
        except NotReady:
            raise _busy("no model is loaded yet") from None
        except ClientDisconnect:  # nobody reads this; the log does
            raise HTTPException(400, "the client has gone") from None
        finally:
            self._held -= len(body)

    def _require_small(self, size: int) -> None:
        if size > self.config.body_bytes:
            raise HTTPException(413, f"the body has more than {self.config.body_bytes:,} bytes")
        if self._held > HELD_BYTES:
            raise _busy("too many bytes wait already: come again")


def _busy(detail: str) -> HTTPException:
    return HTTPException(503, detail, {"Retry-After": RETRY_SECONDS})


def build_app(server: Server, token: str | None, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> Exchange:
    """Return the application.

    Args:
        server: what the endpoints share.
        token: what /predict, /explain, /version and /metrics ask for; None for nothing.
        lifespan: entered when the server begins to answer, and left when the last request is answered.
    """
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=package_version("reprise"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    bearer = HTTPBearer(auto_error=False, description="The token that the server was started with.")

    async def require_token(request: Request, _: Annotated[Any, Depends(bearer)]) -> None:
        if token is not None and not has_token(request.headers.get("authorization"), token):
            raise HTTPException(401, "this needs the server's token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})

    guarded: dict[str, Any] = {"responses": _problems(503)}
    if token is not None:
        guarded = {"dependencies": [Depends(require_token)], "responses": _problems(401, 503)}
    asking = {**guarded, "responses": {**guarded["responses"], **_problems(408, 413, 415, 500), 422: {"model": Faults}}}

    @app.post("/predict", response_model=Predictions, openapi_extra=_body(Texts), tags=["scoring"], **asking)
    async def predict(request: Request) -> Response:
        """Score 1 to 256 texts."""
        async with server.asked(request, Texts) as asked:
            request.scope["told"]["texts"] = len(asked.texts)
            scored = await server.batcher.score(asked.texts)
        told = _tell_version(request, scored)
        return _json(Predictions(**told, predictions=[_scored_text(one) for one in scored.predictions]))

    @app.post("/explain", response_model=Explanation, openapi_extra=_body(OneText), tags=["scoring"], **asking)
    async def explain(request: Request) -> Response:
        """Score a text, and tell what each of its words adds to its probability: the difference that leaving it out makes."""
        async with server.asked(request, OneText) as asked:
            text, words = asked.text, find_words(asked.text)
            _require_explainable(text, len(words), server.config.explained_words)
            request.scope["told"]["texts"] = len(words) + 1
            scored = await server.batcher.score_in_pieces(lambda: chain([text], leave_out(text, words)))
        whole, *without = scored.predictions
        return _json(
            Explanation(
                **_tell_version(request, scored),
                **_scored_text(whole).model_dump(),
                words=attribute(text, words, scored.loaded.known_words, whole, without),
            )
        )

    @app.get("/health", tags=["state"])
    async def health() -> Health:
        """Tell that the process answers."""
        return Health(alive=True, token=token is not None)

    @app.get("/ready", tags=["state"], responses=_problems(503))
    async def ready() -> Ready:
        """Tell that a model is loaded and warm."""
        if server.follower.loaded is None:
            raise _busy("no model is loaded yet")
        for part, name in ((server.follower, "follows the registry"), (server.batcher, "scores")):
            if not part.alive:
                raise _busy(f"the thread that {name} has died: start the server again")
        return Ready(ready=True)

    @app.get("/version", tags=["state"], **guarded)
    async def version() -> ServedVersion:
        """Tell which version is served, and why it is not another, where it should be."""
        loaded, trouble = server.follower.loaded, server.follower.trouble
        if loaded is None:
            raise _busy("no model is loaded yet")
        return ServedVersion(
            model=loaded.pinned.name,
            version=loaded.pinned.version,
            follows=server.config.version,
            files_sha256=loaded.pinned.files_sha256,
            weights_sha256=loaded.weights_sha256,
            loaded=loaded.loaded,
            trouble=None if trouble is None else LastTrouble(**trouble._asdict()),
        )

    # No Prometheus client has ever been refused for want of a model: its figures tell that, too.
    unguarded = {**guarded, "responses": {status: one for status, one in guarded["responses"].items() if status != 503}}
    text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus's text format"}}

    @app.get(
        "/metrics", tags=["state"], **{**unguarded, "responses": {**unguarded["responses"], **text}}, response_class=Response
    )
    async def metrics() -> Response:
        """Tell the server's figures to Prometheus."""
        return Response(server.metrics.write(server.batcher.waiting_texts), headers={"Content-Type": CONTENT_TYPE})

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    app.mount("/assets", StaticFiles(directory=PAGE), name="assets")

    @app.exception_handler(Malformed)
    async def answer_malformed(_: Request, error: Malformed) -> Response:
        return _json(Faults(detail=list(error.faults)), 422)

    @app.exception_handler(Exception)
    async def answer_failure(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": "the server failed; its log says where"}, 500)

    paths = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    return Exchange(app, paths=paths, tell_request=server.metrics.tell_request)


def _require_explainable(text: str, words: int, most: int) -> None:
    """Refuse a text that would be scored without too many words, or whose repetitions would be too long together."""
    characters = len(text) * (words + 1)
    if words > most:
        raise Malformed(
            [Fault(loc=["body", "text"], msg=f"{words:,} words: at most {most:,} are explained", type="too_many_words")]
        )
    if characters > BATCH_CHARACTERS:
        told = (
            f"{len(text):,} characters, once whole and once without each word: {characters:,}, of at most {BATCH_CHARACTERS:,}"
        )
        raise Malformed([Fault(loc=["body", "text"], msg=told, type="too_long_to_explain")])


def _tell_version(request: Request, scored: Scored) -> dict[str, str]:
    pinned = scored.loaded.pinned
    request.scope["told"]["version"] = pinned.version
    return {"model": pinned.name, "version": pinned.version}


def _scored_text(prediction: Any) -> ScoredText:
    return ScoredText(probability=prediction.probability, label=prediction.label)


def _json(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI of a body that the endpoint reads itself, so that its size is bounded while it comes in."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": kind.model_json_schema()}}}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}
