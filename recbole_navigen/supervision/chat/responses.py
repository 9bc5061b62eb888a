"""What an OpenAI-compatible endpoint answers: text, tokens, and how long to wait."""

import email.utils
import time
from typing import Any

from recbole_navigen.redaction import hide_known

MOST_TOKENS = 1 << 40  # of one response; a greater number is none


def retry_after(value: str | None) -> float:
    """Seconds to wait by a Retry-After header, which holds seconds or a date; 0 if there is none or it is neither."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def read_response(response: object) -> tuple[str | None, int, int]:
    """What a response says, None if it is cut, of another shape or no text that UTF-8 holds; and its tokens in and out.

    Content that is null (a refusal, or thoughts up to the last token) is an answer, of no letters: it was paid for, and
    the same question would cost the same again.
    """
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None, 0, 0
    usage = body.get("usage") if isinstance(body, dict) else None
    tokens = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
    try:
        content = body["choices"][0]["message"]["content"]
        text = "" if content is None else _joined(content) if isinstance(content, list) else content
        text.encode()
        text = hide_known(text)  # a server may repeat what it was sent, and answers are kept
    except (LookupError, TypeError, AttributeError, UnicodeEncodeError):
        text = None
    return text, *tokens


def _joined(parts: list[Any]) -> str:
    """The text of content that comes as a list of parts; thoughts and other kinds of parts are none of it."""
    texts = []
    for part in parts:
        if isinstance(part, dict):
            if part.get("type", "text") not in ("text", "output_text"):
                continue
            part = part["text"]
            part = part["value"] if isinstance(part, dict) else part
        texts.append(part)
    return "".join(texts)


def _count(usage: object, name: str) -> int:
    """Tokens by a response's `usage`; 0 where it holds no number that can be one."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value < MOST_TOKENS else 0
