"""Any OpenAI-compatible endpoint (vLLM, Ollama, DashScope, OpenAI), asked concurrently within bounds.

Needs httpx (extra `generate`), which is imported when the first question is asked. The key is read from the environment
at that moment and goes nowhere but into the request's header.
"""

import asyncio
import contextlib
import logging
import os
import queue
import random
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recbole_navigen.errors import InputError
from recbole_navigen.redaction import HIDDEN, hide, remember, without_secrets
from recbole_navigen.supervision.chat.model_teacher import Failure
from recbole_navigen.supervision.chat.prompts import Messages
from recbole_navigen.supervision.chat.responses import read_response, retry_after
from recbole_navigen.supervision.chat.store import Answer

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED = frozenset({401, 403, 404, 405})  # no other question would fare better
UNREADABLE = "unreadable response"


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """An endpoint and how to ask it.

    Attributes:
        base_url: address up to and with /v1. model: the model's name there.
        api_key_env: environment variable that holds the key; None sends no key, as local servers want it.
        temperature, max_tokens, seed: of sampling; seed None is not sent.
        json_mode: whether to ask for JSON by `response_format`; switch off where the endpoint does not know it.
        timeout: seconds for one attempt. concurrency: questions in flight at once.
        retries: further attempts after a failed one. backoff: seconds before the first of them, then doubled, each
            times 0.5 to 1.5 at random. longest_wait: seconds that are waited at most, whatever the server asks.
        price_in, price_out: money for a million prompt and completion tokens; only for the report.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    temperature: float = 0.7
    max_tokens: int = 1500
    seed: int | None = None
    json_mode: bool = True
    timeout: float = 60.0
    concurrency: int = 8
    retries: int = 5
    backoff: float = 1.0
    longest_wait: float = 60.0
    price_in: float = 0.0
    price_out: float = 0.0

    def __post_init__(self) -> None:
        if not str(self.base_url).startswith(("http://", "https://")) or not self.model:
            raise InputError("an endpoint needs base_url=http(s)://... and the name of a model; set both.")
        if HIDDEN in self.base_url:
            raise InputError(
                f"base_url {self.base_url} is what files show in place of a secret; give the whole address again."
            )
        remember(self.base_url, "base_url")
        for name, least in (("timeout", 1e-3), ("concurrency", 1), ("max_tokens", 1), ("retries", 0), ("backoff", 0)):
            if not getattr(self, name) >= least:
                raise InputError(f"{name}={getattr(self, name)} is too small for an endpoint; use {least} or more.")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Money for some tokens, in the unit of the prices."""
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6


class OpenAIChat:
    """Implements `Chat`.

    Attributes:
        attempts: requests sent so far, retries included.
    """

    def __init__(self, settings: OpenAISettings):
        self.settings = settings
        self.name = settings.model
        self.attempts = 0
        body = {"model": settings.model, "temperature": settings.temperature, "max_tokens": settings.max_tokens}
        if settings.seed is not None:
            body["seed"] = settings.seed
        if settings.json_mode:
            body["response_format"] = {"type": "json_object"}
        # Two servers may call different models by one name. A login in the address says who asks, not what answers.
        self.identity: dict[str, Any] = {"kind": "openai", "server": _server(settings.base_url), **body}
        self._body = body

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """See `Chat`."""
        return self.settings.cost(prompt_tokens, completion_tokens)

    def complete(self, conversations: Sequence[Messages]) -> Iterator[tuple[int, Answer | Failure]]:
        """See `Chat`. An endpoint that refuses all questions (key, address, model) is an InputError.

        The next question is asked when the caller comes back for the next answer: whoever stores each one loses at
        most `concurrency` of them when it is killed, however slow its disk is. The requests run on an event loop of
        a thread of their own, so that this also works inside a notebook's loop.
        """
        headers = self._headers()
        done: queue.Queue = queue.Queue()
        loop = asyncio.new_event_loop()
        task = loop.create_task(self._serve(conversations, headers, done))

        def run() -> None:
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass
            except BaseExceptionGroup as group:
                done.put(group.exceptions[0])
            except BaseException as error:
                done.put(error)
            finally:
                loop.close()
                done.put(None)

        thread = threading.Thread(target=run, name="openai", daemon=True)
        thread.start()
        try:
            while (entry := done.get()) is not None:
                if isinstance(entry, BaseException):
                    raise entry
                place, reply, taken = entry
                yield place, reply
                with contextlib.suppress(RuntimeError):  # refused for good: the loop has ended with its workers
                    loop.call_soon_threadsafe(taken.set)
        finally:
            # A caller that stops early must not leave requests running.
            if thread.is_alive():
                with contextlib.suppress(RuntimeError):  # the loop has just closed on its own
                    loop.call_soon_threadsafe(task.cancel)
            thread.join()

    def _headers(self) -> dict[str, str]:
        name = self.settings.api_key_env
        if name is None:
            return {}
        if not os.environ.get(name):
            shown = without_secrets(name, "api_key_env")
            raise InputError(f"the environment variable {shown} (api_key_env) is not set; export the endpoint's key.")
        remember(name, "api_key_env")
        return {"Authorization": f"Bearer {os.environ[name]}"}

    async def _serve(self, conversations: Sequence[Messages], headers: dict[str, str], done: queue.Queue) -> None:
        """Let `concurrency` workers take conversations from one iterator."""
        try:
            import httpx
        except ImportError:
            raise InputError("teacher openai needs httpx; pip install 'recbole-navigen[generate]'.") from None

        # Each would log a line for every request.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        url, login = address(self.settings.base_url)
        waiting = iter(enumerate(conversations))

        async def work(client: object) -> None:
            for place, messages in waiting:
                taken = asyncio.Event()
                done.put((place, await self._answer(client, url, messages), taken))
                await taken.wait()

        limits = httpx.Limits(max_connections=self.settings.concurrency)
        async with (
            httpx.AsyncClient(auth=login, headers=headers, timeout=self.settings.timeout, limits=limits) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(min(self.settings.concurrency, len(conversations))):
                group.create_task(work(client))

    async def _answer(self, client: object, url: str, messages: Messages) -> Answer | Failure:
        """One conversation, with its retries; its tokens are those of all responses, also of the unreadable ones."""
        import httpx

        reason, spent = "", (0, 0)
        for attempt in range(self.settings.retries + 1):
            asked_to_wait = 0.0
            self.attempts += 1
            try:
                # httpx limits each phase of a request; a server that sends byte by byte needs one for the whole.
                async with asyncio.timeout(self.settings.timeout):
                    response = await client.post(url, json={**self._body, "messages": list(messages)})
            except (httpx.TimeoutException, TimeoutError):
                reason = "timeout"
            except httpx.DecodingError:
                reason = UNREADABLE
            except httpx.RequestError as error:
                reason = f"connection: {type(error).__name__}"
            else:
                if response.status_code in REFUSED:
                    raise InputError(
                        f"{hide(url)} answered {response.status_code} for model {self.settings.model!r}; "
                        f"check base_url, model and api_key_env."
                    )
                if response.status_code == 200:
                    text, *tokens = read_response(response)
                    spent = tuple(map(sum, zip(spent, tokens, strict=True)))
                    if text is not None:
                        return Answer(text, *spent)
                    reason = UNREADABLE
                elif response.status_code not in RETRIED:
                    return Failure(f"http {response.status_code}", *spent)
                else:
                    reason = f"http {response.status_code}"
                    asked_to_wait = retry_after(response.headers.get("retry-after"))
            if attempt < self.settings.retries:
                pause = self.settings.backoff * 2**attempt * random.uniform(0.5, 1.5)
                await asyncio.sleep(min(max(pause, asked_to_wait), self.settings.longest_wait))
        return Failure(reason, *spent)


def address(base_url: str) -> tuple[str, tuple[str, str] | None]:
    """Where questions go, with the query that the address has, and the login that stood in it: apart, so that no
    library logs it.
    """
    import httpx

    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL()
    if not url.host:
        raise InputError(f"base_url {base_url!r} is no address of an endpoint; write http(s)://HOST:PORT/v1.")
    login = (url.username, url.password) if url.userinfo else None
    path = url.path.rstrip("/") + "/chat/completions"
    return str(url.copy_with(userinfo=b"", path=path, fragment=None)), login


def _server(base_url: str) -> str:
    """An address as it names a server: without login, and the same however it is spelled."""
    try:
        parts = urllib.parse.urlsplit(base_url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except ValueError:  # no address; a sentence says so when the first question is asked
        return base_url
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}{parts.path.rstrip('/')}?{parts.query}"
