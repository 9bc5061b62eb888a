"""Words of scripts other than Latin: which marks belong to a letter, and where words end that no blank parts.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without blanks between words. Nothing here knows their
dictionaries: a run of such letters is cut where the catalogue itself says so, because a word occurs in more items than
the letters to both sides of one of its ends.
"""

# ruff: noqa: RUF001 (letters that look like Latin ones are meant)

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

# Marks over letters that are written or left out at will. Elsewhere they are letters of their own: й, ガ, हि.
FREE_MARKS = {"LATIN", "GREEK", "COPTIC", "HEBREW", "ARABIC"}
MOST_LETTERS = {"CJK": 4, "HIRAGANA": 6, "THAI": 6, "LAO": 6, "KHMER": 6, "MYANMAR": 6}  # of a piece of a run
COHESION = 0.75  # a piece grows by a letter if this share of its items has the longer one, too
OKURIGANA = 3  # hiragana that end a word which begins with Chinese letters, at most

_MARKS = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_LETTER = rf"(?:[^\W_][{_MARKS}\u200c\u200d]*)"  # the two last join letters, in Persian and in India
WORD = re.compile(rf"\d+(?:[.,]\d+)+|{_LETTER}+(?:-{_LETTER}+)*")  # 200,000 is one number, not two
# One letter as it is read: vowels written before and behind a consonant in Thai and Lao, stacked ones in Khmer and
# Burmese, and marks.
_CLUSTER = re.compile(
    rf"[\u0e40-\u0e44\u0ec0-\u0ec4]?.(?:[\u17d2\u1039].|[{_MARKS}])*[\u0e30\u0e32\u0e45\u0eb0\u0eb2]?", re.DOTALL
)
# Signs that say how the letter before them is drawn, and change no word.
_VARIATIONS = {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
_CONNECTIVES = set("的之与與和及")  # "of" and "and" in Chinese: no word holds them at an end
_PARTICLES = """
の と は が を に で も へ や か な ね よ から まで より には では とは にも でも への との での など たち という
"""

# The commonest words that name nothing, as `fold` spells them.
_STOP_TEXT = """
и в во на не с со к ко по из за от для что как это он она оно они но а о об до же бы у я мы вы ты мой его ее её их та
все или при без над под і й та що як для від до не це у із зі
και το τα η ο οι του της των τον την στο στη στην στον με για απο που δεν να ενα μια ειναι
في من على الى عن مع هذا هذه ذلك التي الذي او ما لا ان هو هي كل بين
של על את עם לא זה אל הוא היא או גם כל מן כי אם
का के की में से और है हैं को पर एक ने यह वह भी नहीं तो ही या कि
그 이 저 의 더 및 수 것 또 를 을 은 는 와 과 에 한 두 나 너 내
و به از که در را با این آن برای است یک
"""


@lru_cache(maxsize=1 << 16)
def script(letter: str) -> str:
    """The script of a letter, the first word of its name in Unicode, such as LATIN, CJK or THAI."""
    name = re.split("[ -]", unicodedata.name(letter, ""))[0]
    return "CJK" if name == "IDEOGRAPHIC" else name


def _script_of(cluster: str) -> str:
    """The script of one letter as it is read, whatever marks it carries."""
    return script(next((letter for letter in cluster if unicodedata.category(letter)[0] == "L"), cluster[0]))


def fold(text: str) -> str:
    """Lower case, without the marks that may be left out and the signs that only choose a glyph, and composed."""
    letters, base = [], ""
    for letter in unicodedata.normalize("NFD", text.casefold()):
        if letter in _VARIATIONS:
            continue
        if unicodedata.category(letter) != "Mn":
            base = letter
        elif not base.isalpha() or script(base) in FREE_MARKS:
            continue
        if letter != "\u0640":  # the stroke that lengthens Arabic words
            letters.append(letter)
    return unicodedata.normalize("NFC", "".join(letters))


STOP_WORDS = frozenset(fold(_STOP_TEXT).split())
_NO_WORDS = frozenset(_PARTICLES.split())


def words_in(token: str) -> list[tuple[str, bool]]:
    """The words of a token that holds letters beside ASCII.

    Args:
        token: folded, a match of `WORD`.

    Returns:
        Words, and whether they may make a pair with their neighbour. A run of a script without blanks is one word here;
        `segment` cuts it.
    """
    runs: list[list[str]] = []  # script ("" for all that are written with blanks) and letters
    for letter in _CLUSTER.findall(token):
        own = _script_of(letter)
        kind = own if own in MOST_LETTERS or own == "KATAKANA" else ""
        if letter in _CONNECTIVES:
            kind = "break"
        if runs and (kind == runs[-1][0] or (letter == "ー" and runs[-1][0])):
            runs[-1][1] += letter
        else:
            runs.append([kind, letter])
    words = []
    for place, (kind, letters) in enumerate(runs):
        if kind == "CJK" and len(letters) <= MOST_LETTERS["CJK"] and place + 1 < len(runs):
            after, ending = runs[place + 1]
            if after == "HIRAGANA" and len(ending) <= OKURIGANA and ending not in _NO_WORDS:
                letters, runs[place + 1][0] = letters + ending, "break"
        if kind == "":
            word = letters.strip("-\u200c\u200d")
            word = word[:-1] + "ς" if word.endswith("σ") else word
            least = 1 if word and script(word[0]) == "HANGUL" else 2
            if len(word) >= least and any(map(str.isalpha, word)) and word not in STOP_WORDS:
                words.append((word, len(runs) == 1))
        elif kind != "break" and letters not in _NO_WORDS and (kind == "CJK" or len(_CLUSTER.findall(letters)) > 1):
            words.append((letters, False))
    return words


def segment(items: Sequence[Sequence[Sequence[str]]]) -> list[list[list[str]]]:
    """Cut the runs of scripts without blanks into words.

    Args:
        items: phrases of each item, as `words_of` gives them. N lists.

    Returns:
        The same, each piece of a run a phrase of its own.

    The pair of neighbouring letters that most items have is taken first, grows while nearly all of these items have the
    longer piece as well, and so on with what is left of the run. So a run that no other item shares stays whole, up to
    the length of a word. Single letters that are left over are dropped.
    """
    runs = {
        phrase[0]: _CLUSTER.findall(phrase[0])
        for item in items
        for phrase in item
        if len(phrase) == 1 and not phrase[0].isascii() and _one_script(phrase[0])
    }
    items_with: Counter[str] = Counter()  # items that have a piece
    for item in items:
        pieces = set()
        for phrase in item:
            letters = runs.get(phrase[0], ()) if len(phrase) == 1 else ()
            most = MOST_LETTERS[_script_of(letters[0])] if letters else 0
            for length in range(2, most + 1):
                pieces.update("".join(letters[at : at + length]) for at in range(len(letters) - length + 1))
        items_with.update(pieces)
    cut = {run: _pieces(letters, items_with) for run, letters in runs.items()}
    return [
        [own for phrase in item for own in ([[word] for word in cut[phrase[0]]] if phrase[0] in cut else [phrase])]
        for item in items
    ]


def _one_script(word: str) -> bool:
    scripts = {script(letter) for letter in word if letter != "ー" and unicodedata.category(letter)[0] == "L"}
    return len(scripts) == 1 and scripts <= set(MOST_LETTERS)


def _pieces(letters: list[str], counts: Counter[str]) -> list[str]:
    """Words of one run, in its order."""
    if len(letters) < 2:
        return ["".join(letters)]
    most = MOST_LETTERS[_script_of(letters[0])]
    taken = [False] * len(letters)
    words = []

    def items_with(start: int, end: int) -> int:
        free = start >= 0 and end <= len(letters) and not any(taken[start:end])
        return counts["".join(letters[start:end])] if free else 0

    for start in sorted(range(len(letters) - 1), key=lambda at: (-items_with(at, at + 2), at)):
        end = start + 2
        if not items_with(start, end):
            continue
        while end - start < most:
            longer = max((start, end + 1), (start - 1, end), key=lambda piece: items_with(*piece))
            if not items_with(*longer) or items_with(*longer) < COHESION * items_with(start, end):
                break
            start, end = longer
        taken[start:end] = [True] * (end - start)
        words.append((start, "".join(letters[start:end])))
    return [word for _, word in sorted(words)]
