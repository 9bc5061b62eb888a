"""Item texts as the words and pairs of words that may become terms: cleaned, in one spelling, without stop words."""

import functools
import html
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np

from recbole_navigen.identifiers.scripts import WORD, fold, words_in

COLLOCATION_ITEMS = 3  # a pair of words must be found together in this many items
COLLOCATION_NPMI = 0.6  # and this much more often than chance; 0 = independent, 1 = never apart
NUMBER_NPMI = 0.4  # for a word and the number after it: the model of a console, the part of a series
LONGEST_WORD = 24  # letters; what is longer is an address or a key, not a word

# scikit-learn's list holds a few words that name things.
CONTENT_WORDS = {"bill", "computer", "cry", "fire", "interest", "mill", "mine", "system", "thick", "thin"}
# Light verbs and fillers that it lacks, contractions without their apostrophe, and numerals.
MORE_STOP_WORDS = """
able ago away came come comes coming did didn does doesn doing don gave gets getting given gives giving goes going
gonna got gotta just knew know known knows let lets like likes look looking looks lot lots made make makes making oh
really said saw say says see seen tell telling tells thing things told took used uses using vs want wanted wants
went yeah ain aint arent cant couldnt didnt doesnt dont hadnt hasnt havent hes id ill im isnt ive ll shes shouldnt
thats theres theyre til ve wanna wasnt werent whats wont wouldnt youll youre youve
ii iii iv vi vii viii ix xi xii xiii
"""

IRREGULAR = {"children": "child", "men": "man", "women": "woman", "wolves": "wolf", "knives": "knife", "lives": "life"}
# These end in s and are not the plural of what is left.
NO_PLURAL = {"news", "series", "species", "lens", "mars", "hans"}
UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"})

MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|https?://\S+|www\.\S+")
HASHTAG = re.compile(r"#(\w+)")
CASE_CHANGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
BREAK = re.compile(r"\S")  # anything but blanks between two words: they are no pair


@functools.cache
def stop_words() -> frozenset[str]:
    """Words that are no terms: those of scikit-learn that name nothing, and `MORE_STOP_WORDS`."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return (ENGLISH_STOP_WORDS - CONTENT_WORDS) | set(MORE_STOP_WORDS.split())


def words_of(text: str) -> list[list[str]]:
    """The text's words, in lower case, as phrases: runs of words with nothing but blanks between them.

    Hashtags are split at their capitals (#HomeCooking), accents folded, possessives cut, stop words left out. A stop
    word ends a phrase as punctuation does, so that no pair of words reaches across it. Short numbers stay: one that
    belongs to the word before it ("xbox 360") makes a term with it, any other is dropped later. Letters that are
    written without blanks between words, such as Chinese ones, come as whole runs, each a phrase, for `segment`.
    """
    text = unicodedata.normalize("NFKC", MARKUP.sub(" . ", html.unescape(text)))
    text = HASHTAG.sub(lambda tag: " # " + CASE_CHANGE.sub(" ", tag[1]) + " # ", text)
    text = fold(text).translate(UNDECOMPOSED)
    text = re.sub(r"(?<=\w)['\u2019`](s\b)?", "", text)  # children's -> children, don't -> dont
    phrases, phrase, end = [], [], 0
    for match in WORD.finditer(text):
        word = match[0]
        if BREAK.search(text, end, match.start()) and phrase:
            phrases.append(phrase)
            phrase = []
        end = match.end()
        number = word.isdigit() and len(word) <= 4
        legal = 2 <= len(word) <= LONGEST_WORD and any(letter.isalpha() for letter in word) and word not in stop_words()
        words = [(word, number or legal)] if word.isascii() else words_in(word)
        if len(words) == 1 and words[0][1] and len(words[0][0]) <= LONGEST_WORD:
            phrase.append(words[0][0])
            continue
        if phrase:
            phrases.append(phrase)
            phrase = []
        if not word.isascii():
            phrases += [[word] for word, _ in words if word not in stop_words()]
    return [*phrases, phrase] if phrase else phrases


def plural_map(phrases: list[list[list[str]]]) -> dict[str, str]:
    """Words to spell otherwise: singular and plural both as whichever more items use (the singular on a tie).

    A word counts as a plural only when its singular occurs in the catalogue: that needs no dictionary and leaves James
    alone.
    """
    count = Counter(word for item in phrases for word in {word for phrase in item for word in phrase})
    mapping = {}
    for word in sorted(count):
        candidates = [candidate for candidate in singulars(word) if candidate in count]
        if candidates:
            singular = max(candidates, key=lambda candidate: count[candidate])
            keep, drop = (word, singular) if count[word] > count[singular] else (singular, word)
            mapping[drop] = keep
    # A chain (words -> word -> another plural) would leave two spellings of one word.
    for word, spelling in mapping.items():
        while spelling in mapping:
            spelling = mapping[spelling]
        mapping[word] = spelling
    return mapping


def singulars(word: str) -> list[str]:
    """Return the words whose plural a word may be."""
    candidates = [IRREGULAR[word]] if word in IRREGULAR else []
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in NO_PLURAL:
        candidates += [word[:-1]] + [word[:-2]] * word.endswith("es") + [word[:-3] + "y"] * word.endswith("ies")
    return candidates


def collocations_of(phrases: list[list[list[str]]]) -> dict[tuple[str, str], float]:
    """Pairs of neighbouring words that are found together far more often than chance, with their strength.

    The strength is normalised pointwise mutual information over items, ln(p(a, b) / (p(a) p(b))) / -ln p(a, b).
    """
    single, pairs = Counter(), Counter()  # in how many items
    for item in phrases:
        single.update({word for phrase in item for word in phrase})
        pairs.update({pair for phrase in item for pair in pairwise(phrase) if pair[0] != pair[1]})
    n_items, strong = len(phrases), {}
    for pair, count in pairs.items():
        if COLLOCATION_ITEMS <= count < n_items and not pair[0].isdigit():
            above_chance = np.log(count * n_items / (single[pair[0]] * single[pair[1]]))
            strength = float(above_chance / np.log(n_items / count))
            if strength >= (NUMBER_NPMI if pair[1].isdigit() else COLLOCATION_NPMI):
                strong[pair] = strength
    return strong


def merge_pairs(item: list[list[str]], collocations: dict[tuple[str, str], float]) -> list[str]:
    """The item's terms in order of appearance: strong pairs as one term, strongest first, then the words left over."""
    document = []
    for phrase in item:
        pairs = [(-collocations[pair], place) for place, pair in enumerate(pairwise(phrase)) if pair in collocations]
        taken, starts = set(), set()
        for _, place in sorted(pairs):
            if place not in taken and place + 1 not in taken:
                taken |= {place, place + 1}
                starts.add(place)
        for place, word in enumerate(phrase):
            if place in starts:
                document.append(f"{word} {phrase[place + 1]}")
            elif place not in taken and not word.isdigit():
                document.append(word)
    return document
