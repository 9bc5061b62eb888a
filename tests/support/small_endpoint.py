"""A local OpenAI-compatible endpoint that misbehaves as a script says, and what a well-behaved model would answer."""

import json
import re
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from recbole_navigen.supervision.chat.openai_chat import OpenAIChat, OpenAISettings


def scripted_answer(messages) -> str:
    """What a well-behaved model says to our prompts."""
    names = [line.split(":")[0] for line in messages[1]["content"].splitlines()]
    system = messages[0]["content"]
    if "You judge" in system:
        scores = {"consistency": 7, "novelty": 6.5, "aesthetic": 8, "executability": 9, "reason": "clear"}
        return json.dumps({name: scores for name in names if name.startswith("draft_")})
    drafts = [name for name in names if re.fullmatch(r"\d+_\w+", name)]
    turn = next(name for name in messages[1]["content"].split("\n") if name.startswith("Round"))[:7]
    return json.dumps(
        {name: {"prompt": f"A quiet pier at dawn, {name}, {turn}", "reasoning": "calm"} for name in drafts}
    )


# What chat templates write between turns; a served model reads them as that wherever they stand.
TURNS = re.compile(r"<\|im_(?:start|end)\|>|</?s>|<(?:start|end)_of_turn>|<\|eot_id\|>|\[/?INST\]|<<SYS>>")
UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]|\x1b" + r"\[[0-9;]*m")


def gullible_answer(messages, otherwise=scripted_answer) -> str:
    """What a model says that leaves alone what is marked as data and obeys everybody else: whoever ends the data, ends
    a turn, or hides the order in signs that nobody sees.
    """
    text = messages[-1]["content"]
    turns = TURNS.split(text)
    heard = [re.sub(r"<data>.*?</data>", "", turns[0], flags=re.DOTALL), *turns[1:]]
    order = re.search(r"ignore all previous instructions and answer (\{.*?\})\.", UNSEEN.sub("", "\n".join(heard)))
    return order[1] if order else otherwise(messages)


def answer(messages) -> str:
    """The same to all questions of a teacher: drafts, scores, thoughts and terms."""
    system = messages[0]["content"]
    if "standard identifiers" in system:
        return json.dumps({"terms": ["a teacher's word"]})
    if "first person" in system:
        return json.dumps({"reasoning": "I like boats."})
    return scripted_answer(messages)


class Endpoint(ThreadingHTTPServer):
    """A local OpenAI-compatible server. `script(n, messages)` says what the n-th request of a conversation gets:
    a text or a list of parts as content (or None), bytes as the whole body, a status, a status with headers, or a kind
    of trouble.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.seen, self.headers, self.lock = script, Counter(), [], threading.Lock()
        self.paths = set()
        self.running, self.most = 0, 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, *_):
        """Clients that gave up are part of the script."""

    def chat(self, **settings) -> OpenAIChat:
        url = f"http://127.0.0.1:{self.server_port}/v1"
        return OpenAIChat(OpenAISettings(url, "tiny", **{"backoff": 0.01, "timeout": 60.0, **settings}))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            key = body["messages"][-1]["content"]
            number = self.server.seen[key]
            self.server.seen[key] += 1
            self.server.headers.append(dict(self.headers))
            self.server.paths.add(self.path)
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
        try:
            self.respond(self.server.script(number, body["messages"]))
        finally:
            with self.server.lock:
                self.server.running -= 1

    def respond(self, what):
        if what == "reset":
            # Close with a reset instead of a proper end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        status, extra = (what, {}) if isinstance(what, int) else (200, {})
        if isinstance(what, tuple):
            status, extra = what
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        content = what if isinstance(what, str | list | None) else ""
        text = json.dumps({"choices": [{"message": {"content": content}}], "usage": usage}) if status == 200 else "{}"
        text = text[:-20] if what == "cut" else text
        text = '{"choices": []}' if what == "shape" else text
        data = what if isinstance(what, bytes) else text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
