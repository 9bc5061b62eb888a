"""A run over HTTP: /recommend, /instruct, /health and the page /docs. A request names ids and numbers, and no file.

FastAPI is in the extra `serve`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import swagger_ui_bundle
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

import recbole_navigen
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import DRAFTS, DRAWS, MEDIA, TOP_P
from recbole_navigen.serving.answers import Recommendation
from recbole_navigen.serving.batching import Batcher, Busy
from recbole_navigen.serving.catalogue import CatalogueRecommender
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.supervision.feedback_lines import VERDICTS

LONGEST_ID, LONGEST_TEXT = 200, 2000  # characters
_BUSY = "the server has more requests than it can answer soon; ask again in a second"
_PAGE_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for, and how many may wait.

    Attributes:
        history: items of a history, and of `exclude`. k: items recommended. drafts: of an instruction.
        body: bytes of a request. batch: requests that are answered together. waiting: requests that may wait.
    """

    history: int = 1000
    k: int = 1000
    drafts: int = 16
    body: int = 262_144
    batch: int = 64
    waiting: int = 512


class Feedback(Protocol):
    """What users say of media, see `quick_start.serve`."""

    def add(self, verdict: str, user: str, instruction: str | None, media: str | None) -> Mapping[str, Any]:
        """Keep what a user says, and return its line."""

    def taste(self, user: str) -> Preferences:
        """What a user's feedback says of their taste."""


def create_app(
    recommender: CatalogueRecommender, run: str, limits: Limits, writes: bool, feedback: Feedback | None = None
) -> FastAPI:
    """The application.

    Args:
        recommender: of a run. run: its name, for /health. limits: of requests.
        writes: whether the run writes instructions; without a writer there is no /instruct.
        feedback: where feedback goes, which at once joins the preferences of its users; None: there is no /feedback.
    """
    takes_preferences = hasattr(recommender, "preference_space")
    known_users = frozenset(recommender.users)
    titles = recommender.titles
    raw = Annotated[StrictStr, Field(max_length=LONGEST_ID)] | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]

    class Asked(BaseModel):
        """What all questions have in common: a history or a user, one of the two."""

        model_config = ConfigDict(extra="forbid", str_max_length=LONGEST_TEXT)
        history: list[raw] | None = Field(None, max_length=limits.history, description="Raw item ids, oldest first.")
        user: raw | None = Field(None, description="Raw id of a user of the data set, in place of a history.")
        preferences: str | None = Field(
            None, max_length=LONGEST_TEXT, description="What is liked: `noir, 1950s, not horror` (NaviGen only)."
        )

    class RecommendRequest(Asked):
        k: int = Field(10, ge=1, le=limits.k, description="How many items.")
        exclude: list[raw] = Field([], max_length=limits.history, description="Raw ids of items that must not appear.")
        exclude_history: bool | None = Field(None, description="Hide what was read; left out: as the run was tested.")

    class InstructRequest(Asked):
        media: Literal[MEDIA] = Field(MEDIA[0], description="What is to be made.")
        think: bool = Field(True, description="Whether the model reasons first.")
        temperature: float | None = Field(None, ge=0, le=2, description="Left out: as `Recommender.instruct` has it.")
        top_p: float = Field(TOP_P, gt=0, le=1)
        drafts: int = Field(min(DRAFTS, limits.drafts), ge=1, le=limits.drafts, description="The best one is kept.")
        seed: int = Field(0, ge=0, lt=2**32)

    class FeedbackRequest(BaseModel):
        model_config = ConfigDict(extra="forbid", str_max_length=LONGEST_TEXT)
        verdict: Literal[VERDICTS] = Field(description="What the user did with the medium.")
        user: raw = Field(description="Raw id of the user it was made for.")
        media: Literal[MEDIA] | None = Field(None, description="Which one, where the user has both.")
        instruction: str | None = Field(None, description="Of an edit: what should have been made.")

    class FeedbackAnswer(BaseModel):
        verdict: str
        user: str
        media: str
        sha256: str
        time: float

    class Item(BaseModel):
        item: str
        title: str
        score: float
        probability: float | None = None

    class RecommendAnswer(BaseModel):
        items: list[Item]
        certified: bool = Field(description="True if no other item can belong here.")

    class InstructAnswer(BaseModel):
        instruction: str
        media: str
        terms: list[str]
        reasoning: str | None
        aim: Item = Field(description="The likely item that stands for what is expected.")

    def item_of(each: Recommendation) -> Item:
        return Item(item=each.item, title=titles[each.item], score=each.score, probability=each.probability)

    def answers(kind: Hashable, asked: list[Any]) -> Sequence[Any]:
        """What the one thread computes that has the model."""
        name, *options = kind
        if name == "instruct":
            histories, media, seeds, stated = (list(column) for column in zip(*asked, strict=True))
            return recommender.instruct(histories, media, **dict(options), seed=seeds, preferences=stated)
        whom, hidden = options
        who, sizes, excluded, stated = (list(column) for column in zip(*asked, strict=True))
        ask = recommender.recommend_users if whom == "users" else recommender.recommend_all
        more = {"preferences": stated} if takes_preferences else {}
        found = ask(who, max(sizes), excluded, exclude_history=hidden, **more)
        return [(best[:k], best.certified) for best, k in zip(found, sizes, strict=True)]

    batcher = Batcher(answers, limits.batch, limits.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close)

    app = FastAPI(
        title="RecBole-NaviGen",
        description=f"Recommendations{' and instructions' if writes else ''} of the run {run}.",
        version=recbole_navigen.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.openapi_version = "3.0.3"  # what the page's own files read
    app.add_middleware(_SmallBodies, most=limits.body)

    app.state.lost = 0  # requests that were given up before they were answered

    async def answer(kind: Hashable, own: object) -> Any:
        try:
            return await asyncio.wrap_future(batcher.ask(kind, own))
        except asyncio.CancelledError:
            app.state.lost += 1
            raise

    def history_of(asked: Asked) -> list[raw] | None:
        """The history that is asked for; None for a user. Exactly one of them must be there, and be known: the nearest
        known id is not looked for here, which takes long in a large catalogue.
        """
        if (asked.history is None) == (asked.user is None):
            raise InputError("give a history or a user, one of the two")
        if asked.user is not None and str(asked.user) not in known_users:
            raise InputError(f"unknown user {asked.user!r}")
        listed = [*(asked.history or ()), *getattr(asked, "exclude", ())]
        if (unknown := recommender.unknown_item(listed)) is not None:
            raise InputError(f"unknown item {unknown!r}")
        return asked.history

    async def stated_by(asked: Asked) -> Preferences:
        """What is stated, and what the user's feedback says beside it: for items no more than evidence."""
        stated = Preferences.of(asked.preferences)
        if stated and not takes_preferences:
            raise InputError("preferences are understood by NaviGen alone, and this run is of another model")
        if stated:
            await asyncio.to_thread(lambda: [recommender.preference_space.match(one) for one in stated.weights])
        if feedback is None or asked.user is None or not takes_preferences:
            return stated
        taste = await asyncio.to_thread(feedback.taste, str(asked.user))
        return stated + (taste if isinstance(asked, InstructRequest) else taste.once())

    @app.post("/recommend", response_model_exclude_none=True)
    async def recommend(asked: RecommendRequest) -> RecommendAnswer:
        """The best next items after a history, or for a user."""
        history = history_of(asked)
        hidden = recommender.hides_history if asked.exclude_history is None else asked.exclude_history
        kind, who = ("users", asked.user) if history is None else ("histories", history)
        best, certified = await answer(
            ("recommend", kind, hidden), (who, asked.k, asked.exclude, await stated_by(asked))
        )
        return RecommendAnswer(items=list(map(item_of, best)), certified=certified)

    if writes:

        @app.post("/instruct")
        async def instruct(asked: InstructRequest) -> InstructAnswer:
            """An instruction for an image or video model, for what comes next after a history, or for a user."""
            history = history_of(asked)
            history = recommender.history_of(asked.user) if history is None else history
            draws = ((name, getattr(asked, name)) for name in DRAWS if name != "seed")
            written = await answer(("instruct", *draws), (history, asked.media, asked.seed, await stated_by(asked)))
            return InstructAnswer(
                instruction=written.instruction,
                media=written.media,
                terms=list(written.terms),
                reasoning=written.reasoning,
                aim=item_of(written.aim),
            )

    if feedback is not None:

        @app.post("/feedback")
        async def feed(asked: FeedbackRequest) -> FeedbackAnswer:
            """What became of a user's image or video: kept, edited or discarded; on the disk when this answers."""
            given = (asked.verdict, str(asked.user), asked.instruction, asked.media)
            line = await asyncio.to_thread(feedback.add, *given)
            return FeedbackAnswer(**{name: line[name] for name in FeedbackAnswer.model_fields})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server answers, and what it serves."""
        return {
            "status": "ok",
            "run": run,
            "version": recbole_navigen.__version__,
            "items": len(recommender.item_tokens),
            "users": len(known_users),
            "instructs": writes,
            "waiting": batcher.waiting,
        }

    # The page, of files that were read when the server started.
    files = {name: (Path(swagger_ui_bundle.swagger_ui_path) / name).read_bytes() for name in _PAGE_FILES}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        script, style = (f"docs/{name}" for name in _PAGE_FILES)
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="RecBole-NaviGen",
            swagger_js_url=script,
            swagger_css_url=style,
            swagger_favicon_url="data:,",
        )

    @app.get("/docs/{name}", include_in_schema=False)
    async def page_file(name: Literal["swagger-ui-bundle.js", "swagger-ui.css"]) -> Response:
        return Response(files[name], media_type=_PAGE_FILES[name])

    @app.exception_handler(InputError)
    async def refuse(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    @app.exception_handler(Busy)
    async def refuse_for_now(_: Request, __: Busy) -> JSONResponse:
        return JSONResponse({"detail": _BUSY}, status_code=503, headers={"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    async def refuse_request(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"detail": f"{place or 'the request'}: {first['msg']}"}, status_code=422)

    return app


class _SmallBodies:
    """Refuses bodies that are too large, by their length or, where they do not say it, as they arrive."""

    def __init__(self, app: object, most: int):
        self.app, self.most = app, most

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.most:
            await self._refuse(scope, receive, send)
            return
        # The body is read here, so that nothing was answered yet when it turns out to be too large.
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > self.most:
                await self._refuse(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        handed = False

        async def whole() -> Any:
            nonlocal handed
            if handed:
                return await receive()
            handed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, whole, send)

    async def _refuse(self, scope: object, receive: object, send: object) -> None:
        detail = f"a request may have {self.most} bytes"
        await JSONResponse({"detail": detail}, status_code=413, headers={"Connection": "close"})(scope, receive, send)
