"""The study as a web page. What is real is never sent before it is answered."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from unpaired.core.version import __version__
from unpaired.serve.study.ledger import Ledger, OutOfTurn, Session
from unpaired.serve.study.plan import Side
from unpaired.serve.study.prepare import IMAGES
from unpaired.serve.study.results import results, rows
from unpaired.serve.web import add_files, add_handlers, page_of

CODE = r"^[A-Za-z0-9_-]{4,64}$"
PACKAGE = "unpaired.serve.study"
FILES = {
    "/": ("index.html", "text/html"),
    "/study.css": ("study.css", "text/css"),
    "/study.js": ("study.js", "text/javascript"),
}


class Participant(BaseModel):
    """A participant: with a code given by the experimenter, or without one yet."""

    code: Annotated[str, Field(max_length=1000)] | None = None


class Answer(BaseModel):
    """Which side was taken for real."""

    code: Annotated[str, Field(pattern=CODE)]
    trial: Annotated[int, Field(ge=0)]
    choice: Side
    shown_ms: Annotated[float, Field(ge=0, le=1e9)]
    answered_ms: Annotated[float, Field(ge=0, le=1e9)]


def build_study_app(folder: Path, ledger: Ledger, key: str) -> FastAPI:
    """The app of the study in a folder; its page of results asks for the key."""
    app = FastAPI(title="unpaired study", version=__version__, docs_url=None, redoc_url=None)
    add_handlers(app)
    add_files(app, PACKAGE, FILES)
    study, turn = ledger.study, asyncio.Lock()
    shown = {name for pairs in (*study.pairs.values(), study.obvious) for pair in pairs for name in pair}

    @app.post("/session")
    async def begin(participant: Participant) -> dict[str, Any]:
        """Begin a session, or resume it."""
        if participant.code is not None and not re.match(CODE, participant.code):
            raise HTTPException(
                422,
                f"The participant code {participant.code[:80]!r} cannot be used: expected 4 to 64 letters, digits, "
                f"hyphens or underscores. Correct the code at the end of the page's address",
            )
        async with turn:
            session = await asyncio.to_thread(ledger.session, participant.code or secrets.token_hex(8))
        about = {"exposure_ms": study.exposure_ms, "practice": study.practice}
        return {"code": session.code, **about, **_next(session)}

    @app.post("/answer")
    async def answer(given: Answer) -> dict[str, Any]:
        """Keep an answer; in practice, tell whether it was right."""
        measured = {"shown_ms": given.shown_ms, "answered_ms": given.answered_ms}
        try:
            async with turn:
                trial = await asyncio.to_thread(ledger.answer, given.code, given.trial, given.choice, **measured)
        except KeyError:
            raise HTTPException(404, "no session of this code; reload the page") from None
        except OutOfTurn as error:
            raise HTTPException(409, str(error)) from None
        feedback = {"real": trial.real} if trial.kind == "practice" else {}
        return {**feedback, **_next(ledger.sessions[given.code])}

    @app.get("/images/{name}.png")
    async def image(name: str) -> Response:
        """An image of the study; any other name is unknown."""
        if name not in shown:
            raise HTTPException(404, "no such image")
        content = await asyncio.to_thread((folder / IMAGES / f"{name}.png").read_bytes)
        return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/results")
    async def result_page(given: Annotated[str, Query(alias="key", max_length=100)] = "") -> Response:
        """The table of results, for who has the key."""
        if not hmac.compare_digest(given.encode(), key.encode()):
            raise HTTPException(403, "the results ask for the key that the server printed")
        found = results(study, list(ledger.sessions.values()))
        head, *body = rows(found)
        how = sorted({each.interval for each in found if each.rate is not None})
        return page_of(PACKAGE, "results.html.j2", head=head, rows=body, how=how)

    return app


def _next(session: Session) -> dict[str, Any]:
    """How far the session is, and what to show next; a check looks like any other trial."""
    done = len(session.choices)
    about: dict[str, Any] = {"done": done, "trials": len(session.trials), "next": None}
    if not session.finished:
        trial = session.trials[done]
        about["next"] = {"left": trial.left, "right": trial.right, "practice": trial.kind == "practice"}
    return about
