"""`run_serve`: a finished run over HTTP."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from recbole_navigen.config.calls import checks
from recbole_navigen.devices import AUTO
from recbole_navigen.errors import InputError
from recbole_navigen.generation.feedback_file import add_feedback, made_media, said_preferences
from recbole_navigen.runs.result import read_result
from recbole_navigen.serving.catalogue import CatalogueRecommender
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.supervision.feedback_lines import FEEDBACK, read_feedback

HOST, PORT = "127.0.0.1", 8000
_NEEDED = ("fastapi", "uvicorn", "swagger_ui_bundle")


def refuse_without_server() -> None:
    """Say what is missing, before anything is loaded."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise InputError(f"a server needs {missing[0]}, which is not installed; pip install 'recbole-navigen[serve]'")


@checks(
    run="path",
    host="str",
    port="int from 0 to 65535",
    device="str",
    max_history="int from 1",
    max_k="int from 1",
    max_batch="int from 1",
    max_waiting="int from 1",
    graceful_seconds="int from 0",
    check="bool",
    feedback="path or None",
)
def run_serve(
    run: str | Path,
    host: str = HOST,
    port: int = PORT,
    device: str = AUTO,
    max_history: int = 1000,
    max_k: int = 1000,
    max_batch: int = 64,
    max_waiting: int = 512,
    graceful_seconds: int = 0,
    check: bool = False,
    feedback: str | Path | None = None,
) -> None:
    """Serve a run until SIGTERM or Ctrl-C, which let requests under way be answered.

    Args:
        run: folder of a finished run of any model; one of NaviGen with a writer has /instruct, too.
        host, port: where to listen; port 0 takes a free one. device: auto, cpu, cuda, ...
        max_history: items of a history in a request. max_k: items recommended.
        max_batch: requests that are answered together. max_waiting: requests that may wait; more get status 503.
        graceful_seconds: how long the last requests have; 0: as long as it takes. check: load all and listen, then end.
        feedback: folder of run_generate whose media users speak of by /feedback; what they say goes to its
            feedback.jsonl and joins their preferences at once.
    """
    refuse_without_server()
    import uvicorn

    from recbole_navigen.serving.server import Limits, create_app

    class Server(uvicorn.Server):
        """uvicorn's server. It says when it listens, and its end by a signal is not that signal once more."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            console.print(welcome, markup=False, soft_wrap=True)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    read_result(run)
    if feedback is not None:
        made_media(feedback)
    listening = _listen(host, port)
    recommender = Recommender.load(run, device)
    limits = Limits(history=max_history, k=max_k, batch=max_batch, waiting=max_waiting)
    writes = getattr(recommender, "author", None) is not None
    folder = None if feedback is None else FeedbackFolder(feedback, recommender)
    app = create_app(recommender, Path(run).resolve().name, limits, writes, folder)
    place = f"http://{host}:{listening.getsockname()[1]}"
    console = Console(highlight=False)
    if check:
        listening.close()
        console.print(f"{run} can be served at {place}", markup=False, soft_wrap=True)
        return
    routes = "/recommend, /instruct, /health" if writes else "/recommend, /health (it has no writer: no /instruct)"
    routes = routes if feedback is None else f"/feedback, {routes}"
    welcome = f"serving {run} at {place}: {routes}; {place}/docs describes them"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=graceful_seconds or None,
    )
    Server(config).run(sockets=[listening])
    lost = app.state.lost
    outcome = "every request that it took was answered" if not lost else f"{lost} requests found no time to be answered"
    console.print(f"the server has ended; {outcome}", markup=False)


class FeedbackFolder:
    """Implements `serving.server.Feedback` for a folder of run_generate. Threads may share it.

    Args:
        folder: with the media. recommender: of the run.
    """

    def __init__(self, folder: str | Path, recommender: CatalogueRecommender):
        self._folder, self._recommender = Path(folder), recommender
        self._lock, self._read, self._tastes = threading.Lock(), None, {}

    def add(self, verdict: str, user: str, instruction: str | None, media: str | None) -> dict[str, Any]:
        """See `Feedback`."""
        return add_feedback(self._folder, verdict, user, instruction, media)

    def taste(self, user: str) -> Preferences:
        """See `Feedback`. The file is read again when it has grown, by whoever wrote."""
        file = self._folder / FEEDBACK
        with self._lock:
            state = (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None
            if state != self._read and state is not None:
                space = self._recommender.preference_space
                said = said_preferences(read_feedback(file), self._recommender.trained.table.known_terms)
                self._tastes = {one: space.matched(stated) for one, stated in said.items()}
            self._read = state
            return self._tastes.get(user, Preferences())


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, before anything that takes long."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends at once (TCP_NODELAY) where a socket says that it is TCP; answers wait 40 ms otherwise.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise InputError(f"{host}:{port} cannot be listened to ({error.strerror}); choose --host and --port") from error
    return listening
