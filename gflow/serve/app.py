"""The routes: pages and numbers to read; two that act, `stop` and `resume`."""

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gflow.errors import GFlowError
from gflow.serve import page
from gflow.serve.control import Control
from gflow.serve.guard import Guard
from gflow.serve.inside import OutsideError
from gflow.serve.state import Seen, Watch
from gflow.training.json_lines import to_json


class Routes:
    """Answers to requests that the guard let through.

    Args:
        root: The folder with the runs.
        token: That pages hand to their script.
    """

    def __init__(self, root: Path, token: str) -> None:
        self.watch, self.control, self.token = Watch(root), Control(), token

    def listing(self, request: Request) -> Response:
        """The page of all runs."""
        return HTMLResponse(page.listing(self.watch.root, self.token))

    def run(self, request: Request) -> Response:
        """The page of a run."""
        return HTMLResponse(page.of_run(self._seen(request), self.token))

    def runs(self, request: Request) -> Response:
        """All runs as JSON."""
        return _json({"runs": [self._told(seen) for seen in self.watch.runs()]})

    def now(self, request: Request) -> Response:
        """A run as JSON, with the parts of its page that change.

        A page that says what it has by `?changed=` gets the parts only if there is more.
        """
        seen = self._seen(request)
        told = self._told(seen)
        if request.query_params.get("changed", "") != repr(seen.changed):
            told["parts"] = page.parts(seen)
        return _json(told | {"changed_at": repr(seen.changed)})

    def stop(self, request: Request) -> Response:
        """Ask a run to stop."""
        return self._act(request, self.control.stop)

    async def resume(self, request: Request) -> Response:
        """Go on with a run; `{"steps": N}` extends it."""
        steps = None
        if await request.body():
            try:
                asked = await request.json()
                steps = asked.get("steps")
            except (ValueError, AttributeError):
                raise HTTPException(400, 'The body is to be JSON as {"steps": 1000}.') from None
        if steps is not None and (type(steps) is not int or steps < 1):
            raise HTTPException(400, f"steps is to be a whole number from 1, got {steps!r}.")
        return await run_in_threadpool(self._act, request, self.control.resume, steps)

    def _act(self, request: Request, action: Any, *more: Any) -> Response:
        seen = self._seen(request)
        try:
            action(seen, *more)
        except (GFlowError, OSError) as e:
            raise HTTPException(409, str(e)) from None
        return _json(self._told(self._seen(request)))

    def _seen(self, request: Request) -> Seen:
        try:
            return self.watch.run(request.path_params["name"])
        except OutsideError as e:
            raise HTTPException(404, str(e)) from None
        except (GFlowError, OSError, ValueError) as e:
            raise HTTPException(500, f"This run cannot be read: {e}") from None

    def _told(self, seen: Seen) -> dict[str, Any]:
        told = seen.told() | {"error": self.control.failure(seen)}
        if self.control.stopping(seen):
            told["state"] = "stopping"
        elif self.control.starting(seen):
            told["state"] = "starting"
        return told


def application(root: Path, token: str) -> Guard:
    """The application for a folder, with the guard around it."""
    routes = Routes(root, token)
    inner = Starlette(
        routes=[
            Route("/", routes.listing),
            Route("/live.js", lambda request: FileResponse(page.SCRIPT)),
            Route("/live.css", lambda request: FileResponse(page.STYLE)),
            Route("/api/runs", routes.runs),
            Route("/api/run/{name:path}", routes.now),
            Route("/api/stop/{name:path}", routes.stop, methods=["POST"]),
            Route("/api/resume/{name:path}", routes.resume, methods=["POST"]),
            Route("/run/{name:path}", routes.run),
        ],
        exception_handlers={HTTPException: _refused},
    )
    return Guard(inner, token, (page.inner_script(),))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


def _json(value: dict[str, Any], code: int = 200) -> Response:
    return Response(to_json(value), code, media_type=JSONResponse.media_type)
