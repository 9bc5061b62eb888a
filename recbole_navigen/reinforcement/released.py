"""The rewards of the released code, formula by formula (arXiv:2606.24196), with their leniencies; see `rewards`.

    R = (main g + .1 F) q            g = .2 + .8 T            q = .3 + .7 max(0, 1 - p)

F, format, is computed on a repaired text; T is 1 if there is a thought; p adds up what is wrong with the raw text.
`main` is .9 C for next items (see `rewards.released_reward`) and .9 S for instructions; a failed judge makes it .1.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CID = re.compile(r"<\|cid_begin\|><s_a_(\d+)><s_b_(\d+)><s_c_(\d+)><\|cid_end\|>")
KEYS = {"cid2cid": ("target_cid",), "cid2ins": ("target_tid", "target_ins")}
LEVEL_CREDIT = (0.5, 0.3, 0.2)
IN_CATALOGUE = 0.15  # for a code of the catalogue that matches nothing
JUDGE_FAILED = 0.1
EMOTIONS = frozenset(
    ("feel", "feeling", "feelings", "mood", "emotion", "emotional", "dream", "dreamy", "soul", "longing")
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The rewards of a raw answer that do not depend on its content."""

    format: float
    think: float
    penalty: float

    def total(self, main: float) -> float:
        """Return R, the whole reward, for a main reward."""
        gate, kept = 0.2 + 0.8 * self.think, 0.3 + 0.7 * max(0.0, 1.0 - self.penalty)
        return (main * gate + 0.1 * self.format) * kept


def parts(text: str, task: str) -> Parts:
    """Read format, thought and penalty from a raw answer. task: cid2cid or cid2ins."""
    raw = _unfenced(text)
    thought = re.search(r"<think>(.*?)</think>", raw, flags=re.DOTALL)
    thinks = float(thought is not None and len(re.sub(r"\s", "", thought.group(1))) > 10)
    return Parts(_format(raw, task), thinks, _penalty(raw, task))


def cid2ins_reward(text: str, scores: dict[str, float] | None) -> float:
    """R of a raw instruction answer. scores: `quality`, `ins_gold`, `ins_pred`, `pred_gold`; None: the judge failed."""
    answer = parts(text, "cid2ins")
    if not answer.format:
        return answer.total(0.0)
    if scores is None:
        return answer.total(JUDGE_FAILED)
    return answer.total(0.9 * sum(0.25 * scores[name] for name in ("quality", "ins_gold", "ins_pred", "pred_gold")))


def heuristic_scores(gold: Sequence[str], predicted: Sequence[str], instruction: str) -> dict[str, float]:
    """The scores the released code falls back on without a judge: literal terms, lengths and word lists."""
    text = instruction.lower()

    def named(terms: Sequence[str]) -> float:
        return sum(term.lower() in text for term in terms) / max(len(terms), 1)

    words = text.split()
    ins_gold, ins_pred = named(gold), named(predicted)
    specificity = min(1.0, min(len(words) / 25, 1.0) + 0.15 * EMOTIONS.isdisjoint(re.findall(r"[a-z]+", text)))
    creativity = 0.6 if len(set(words)) >= 8 else 0.4
    content = min(max(len(instruction) / 160, 0.3), 0.9)
    return {
        "quality": (specificity + creativity + content + max(ins_gold, ins_pred)) / 4,
        "ins_gold": ins_gold,
        "ins_pred": ins_pred,
        "pred_gold": term_f1(predicted, gold),
    }


def term_f1(left: Sequence[str], right: Sequence[str]) -> float:
    """F1 of two lists of terms as sets, whatever their case."""
    ours, theirs = ({term.strip().lower() for term in terms} for terms in (left, right))
    return 2 * len(ours & theirs) / max(len(ours) + len(theirs), 1)


def recover(raw: str, task: str) -> dict[str, Any]:
    """Fields of the first JSON object outside the thought, completed by what follows each key in the text."""
    body, fields = _outside(raw), {}
    objects = _objects(body)
    if objects:
        fields.update(objects[0][0])
    decoder = json.JSONDecoder()
    for key in KEYS[task]:
        place = re.search(rf'"{key}"\s*:\s*', body)
        if key not in fields and place:
            try:
                fields[key] = decoder.raw_decode(body, place.end())[0]
            except json.JSONDecodeError:
                continue
    return {key: fields[key] for key in KEYS[task] if key in fields}


def _unfenced(text: str) -> str:
    return re.sub(r"\s*```$", "", re.sub(r"^```\w*\s*", "", text.strip()))


def _outside(raw: str) -> str:
    """The text without its thought; an opening or closing tag without its partner stays text."""
    return re.sub(r"<think>.*?</think>", "", raw, flags=re.DOTALL)


def _objects(text: str) -> list[tuple[dict, int, int]]:
    """All JSON objects of a text that do not lie in one another, with begin and end."""
    decoder, objects, place = json.JSONDecoder(), [], text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
            objects.append((value, place, end))
        except json.JSONDecodeError:
            end = place + 1
        place = text.find("{", end)
    return objects


def _format(raw: str, task: str) -> float:
    """F on a rebuilt text: the thought as it is, and canonical JSON of whatever was recovered."""
    fields = recover(raw, task)
    thought = re.search(r"<think>(.*?)</think>", raw, flags=re.DOTALL)
    if thought and any(f'"{key}":' in thought.group(1) for key in KEYS[task]):
        return 0.0
    if task == "cid2cid":
        value = fields.get("target_cid")
        return float(len(CID.findall(value if isinstance(value, str) else json.dumps(value))) == 1)
    terms, instruction = fields.get("target_tid"), fields.get("target_ins")
    terms = [term for term in terms.split(",") if term.strip()] if isinstance(terms, str) else terms
    return float(bool(terms) and isinstance(terms, list) and isinstance(instruction, str) and bool(instruction.strip()))


def _penalty(raw: str, task: str) -> float:
    """p: what is wrong with the structure of the raw text, added up to at most 1."""
    opened, closed = raw.count("<think>"), raw.count("</think>")
    penalty = 0.35 * (opened != closed) + 0.20 * (opened > 1)
    penalty += 0.10 * (opened > 0 and not raw.lstrip().startswith("<think>"))
    body = _outside(raw)
    objects = _objects(body)
    begin, end = (objects[0][1], objects[-1][2]) if objects else (0, len(body))
    penalty += 0.20 * (not objects or bool(body[:begin].strip()))
    penalty += 0.45 * bool(objects and body[end:].strip()) + 0.20 * (len(objects) > 1)
    extra = sum(max(0, raw.count(f'"{key}"') - 1) for key in KEYS[task])
    return min(1.0, penalty + min(0.3, 0.1 * extra))
