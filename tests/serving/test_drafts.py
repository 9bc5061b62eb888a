"""The best of several drafts is the one the search would have liked best, with a thought that could be learned."""

import numpy as np
import pytest

from recbole_navigen.language.answer import Answer
from recbole_navigen.serving.drafts import draft_scores
from recbole_navigen.supervision.facts import catalogue_facts
from recbole_navigen.supervision.fitness import score
from recbole_navigen.supervision.interfaces import Draft, Review, Sample
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.term_space import TermSpace

TERMS = [("space", "robot", "alien"), ("romance", "wedding"), ("war", "soldier"), ("space", "war")]
SPACE = TermSpace(TERMS, catalogue_facts({}, {}, "film", TERMS), "film")
FAR = (
    "Photograph a vast starship drifting past a ringed planet in cold starlight, wide low camera, deep blue palette, "
    "an awed mood, tiny astronauts on the hull and a glowing antenna, fine film grain, symmetrical composition."
)
NEAR = FAR.replace("starship", "space station")  # names the target
DULL = "A picture of something."
THOUGHT = (
    "Looking back over what I picked, I keep returning to war and soldier. Putting these together, I look for "
    "something vast and cold, far from home. In the end I want a change, and it is space, robot and alien."
)


def sample(**more):
    return Sample("", (TERMS[2],), TERMS[0], "film", "image", **more)


def answer(text, thought=None):
    return Answer(TERMS[0], text, thought)


def test_drafts_are_scored_as_in_the_search():
    texts = (FAR, NEAR, DULL)
    free, told = draft_scores(SPACE, [sample(name_terms=False), sample()], [[answer(text) for text in texts]] * 2)
    drafts = tuple(map(Draft, texts))
    rivals = tuple(drafts[:place] + drafts[place + 1 :] for place in range(3))
    judged = TemplateJudge(SPACE).judge([Review(sample(name_terms=False), drafts, rivals)])[0]
    assert free.tolist() == [score(one, hit).overall for one, hit in zip(judged, (False, True, False), strict=True)]
    assert free.argmax() == 0 and free[1] < told[1] and free[0] == told[0]
    assert told.argmin() == 2


def test_a_thought_that_could_not_be_learned_comes_behind_all_others():
    rambling = THOUGHT.replace("soldier", "the fittest of the candidates")  # talks of the search
    drafts = [answer(FAR, rambling), answer(DULL, THOUGHT), answer(FAR, "too short")]
    scores = draft_scores(SPACE, [sample()], [drafts])[0]
    assert scores.argmax() == 1 and scores[0] == pytest.approx(scores[2], abs=1e-9)
    plain = draft_scores(SPACE, [sample()], [[answer(draft.target_ins) for draft in drafts]])[0]
    np.testing.assert_allclose(plain - scores, [20.0, 0.0, 20.0])
