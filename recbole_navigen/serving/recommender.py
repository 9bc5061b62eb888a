"""A plain Python API for a trained run: any history of item ids in, exact recommendations and instructions out."""

import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from recbole_navigen.artefacts import content_hash
from recbole_navigen.config import Config
from recbole_navigen.config.calls import checked, checks
from recbole_navigen.config.raw_ids import Exclude, Histories, Id, listed
from recbole_navigen.config.shipped import dataset_arguments
from recbole_navigen.config.teachers import supervision_settings
from recbole_navigen.data import NaviGenDataset, create_dataset
from recbole_navigen.data.sequences import padded
from recbole_navigen.devices import AUTO, resolve_device
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import DOMAINS, DRAFTS, DRAWS, MEDIA, PLAN_TEMPERATURE, TEMPERATURE, TOP_P
from recbole_navigen.model.ranking import Ranking, TopK, best, joined
from recbole_navigen.runs.layout import is_saved_model
from recbole_navigen.runs.load import load_trained, refuse_other_data
from recbole_navigen.runs.result import read_result
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.serving import export, hub
from recbole_navigen.serving.agreement import Agreement
from recbole_navigen.serving.answers import Aim, Instruction, Recommendation, Recommendations
from recbole_navigen.serving.asking import RATES, AskingRecommender, Stated
from recbole_navigen.serving.calibrated import calibrated
from recbole_navigen.serving.contexts import thought_with
from recbole_navigen.serving.drafts import draft_scores, written_drafts
from recbole_navigen.serving.popularity import COUNTS, first_counts, log_popularity
from recbole_navigen.serving.preferences import Preferences, preferences_of
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.plans import Brief
from recbole_navigen.supervision.template.term_space import TermSpace

if TYPE_CHECKING:
    from recbole_navigen.serving.model_recommender import ModelRecommender

AllStated = Stated | Sequence[Stated]  # of all, or of each
# By whether there is a history, and whether there are preferences.
BASES = {(True, False): "history", (True, True): "history and preferences"}
BASES |= {(False, True): "preferences", (False, False): "popularity"}
POOL = 50  # most probable items among which an instruction's is chosen


class Recommender(AskingRecommender):
    """Recommends to histories the model has never seen. Make one with `Recommender.load`."""

    def __init__(self, trained: TrainedModel):
        """
        Args:
            trained: the model, and what writes instructions.
        """
        self._take(trained)

    def _take(self, trained: TrainedModel) -> None:
        """Use a model, whose catalogue may be another one than before."""
        self.trained = trained
        self.table, self.lm, self.renderer = trained.table, trained.lm.eval(), trained.renderer
        self.settings, self.author = trained.settings, trained.author
        self.max_length = self.settings["MAX_ITEM_LIST_LENGTH"]
        self.ranking = Ranking(self.lm, self.settings["scoring_memory"])
        super().__init__(self.table.item_tokens, bool(self.settings.get("exclude_history")))
        for name in ("_space", "_agreement", "_evidence", "_term_holders", "preference_space", "_log_popularity"):
            self.__dict__.pop(name, None)

    @classmethod
    @checks(run_dir="path", device="str")
    def load(cls, run_dir: str | Path, device: str = AUTO) -> "Recommender | ModelRecommender":
        """Load a run at its best epoch: a NaviGen, or any model of RecBole as a `ModelRecommender`.

        Args:
            run_dir: the folder of the run, `saved/RUN`, or one that `save` wrote.
            device: auto (CUDA if there is any), cpu, cuda, cuda:1, ...: where it ranks and writes.
        """
        if is_saved_model(run_dir):
            return cls.from_pretrained(run_dir, device)
        device = resolve_device(device)
        if read_result(run_dir)["model"] != "NaviGen":
            from recbole_navigen.serving.model_recommender import ModelRecommender

            return ModelRecommender.load(run_dir, device)
        return cls(load_trained(run_dir)).to(device)

    def to(self, device: str) -> "Recommender":
        """Move the models to a device, in place."""
        self.lm.to(device)
        if self.author is not None:
            self.author.model.to(device)
        return self

    @checks(folder="path")
    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model into a folder that needs neither run, data nor backbone; see `export.save_pretrained`.
        Popularity goes along where the data set can be read.
        """
        trained, table = self.trained, self.table
        if COUNTS not in table.report and "data_path" in self.settings:
            with contextlib.suppress(InputError):
                report = {**table.report, COUNTS: first_counts(self._histories.values()), RATES: self._answer_rates}
                trained = replace(trained, table=replace(table, report=report))
        return export.save_pretrained(trained, folder)

    save = save_pretrained  # items that were added or removed are kept by it, and by nothing else

    @checks(repo_id="str", token="str or None", private="bool")
    def push_to_hub(self, repo_id: str, token: str | None = None, private: bool = False) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub; see `hub.push_to_hub`."""
        return hub.push_to_hub(self.save_pretrained, repo_id, token, private)

    @classmethod
    @checks(folder="path", device="str", revision="str or None")
    def from_pretrained(cls, folder: str | Path, device: str = AUTO, revision: str | None = None) -> "Recommender":
        """Read what `save_pretrained` wrote, or what `push_to_hub` uploaded (OWNER/NAME, and a revision of it); device:
        see `load`.
        """
        device = resolve_device(device)
        if revision is not None or (not Path(folder).exists() and str(folder).count("/") == 1):
            folder = hub.pulled(str(folder), revision)
        return cls(export.from_pretrained(folder)).to(device)

    @checks(folder="path")
    def export_transformers(self, folder: str | Path) -> Path:
        """Write the model for plain transformers, adapters merged; see `export.export_transformers`."""
        return export.export_transformers(self.trained, folder)

    @cached_property
    def _data(self) -> tuple[Config, NaviGenDataset]:
        keys = (*dataset_arguments(), "shuffle_ties", "eval_args", "item_text_fields")
        own = {key: self.settings[key] for key in keys if key in self.settings}
        folder = Path(self.settings["data_path"])
        config = Config("NaviGen", folder.name, config_dict={**own, "data_path": str(folder.parent), "state": "ERROR"})
        dataset = create_dataset(config)
        refuse_other_data(dataset, self.trained.dataset_hash, folder)
        return config, dataset

    def recommend(
        self,
        history: Sequence[Id] = (),
        k: int = 10,
        exclude: Iterable[Id] = (),
        exclude_history: bool = False,
        preferences: Stated = None,
    ) -> Recommendations:
        """The k best next items after one history, which may be empty, by what is said of one's taste, or by both.

        Args:
            history, k, exclude, exclude_history: as of every recommender.
            preferences: phrases, "slow noir, 1950s, not horror", or phrases with weights; see `serving.preferences`.
                With no history either, items are ranked by popularity, and the answer's `basis` says so.
        """
        return self.recommend_all([history], k, [exclude], exclude_history, preferences)[0]

    @torch.no_grad()
    @checks(k="int from 1", exclude_history="bool")
    def recommend_all(
        self,
        histories: Histories,
        k: int = 10,
        exclude: Exclude = None,
        exclude_history: bool = False,
        preferences: AllStated = None,
    ) -> list[Recommendations]:
        """As `recommend`, for many histories at once. preferences: for all, or a list with those of each."""
        indices = self._all_indices(histories, empty=True)
        if not indices:
            return []
        stated = preferences_of(preferences, len(indices))
        top = self._top(indices, k, self._banned(indices, exclude, exclude_history), stated)
        bases = [BASES[bool(own), bool(said)] for own, said in zip(indices, stated, strict=True)]
        rows = (top.items.tolist(), top.log_probs.tolist(), top.certified.tolist(), bases)
        return [
            Recommendations(tuple(map(self._recommendation, items, scores)), certified, basis)
            for items, scores, certified, basis in zip(*rows, strict=True)
        ]

    def _recommendation(self, item: int, log_prob: float) -> Recommendation:
        token, terms = self.table.item_tokens[item], self.table.terms[item]
        return Recommendation(token, terms, math.exp(log_prob), log_prob, log_prob)

    def _top(
        self, indices: list[list[int]], k: int, banned: torch.Tensor, stated: Sequence[Preferences], wish: bool = False
    ) -> TopK:
        """The k best items of users by item indices of their histories, with or without preferences; banned (B, N).

        wish: see `PreferenceSpace.shift`.
        """
        device, shifts = self.lm.code_rows.device, None
        if any(stated):
            shifts = torch.zeros(banned.shape)
            for row, (own, said) in enumerate(zip(indices, stated, strict=True)):
                if said:
                    shifts[row] = torch.from_numpy(self.preference_space.shift(said, len(own), wish))
        rows = {empty: [row for row, own in enumerate(indices) if (not own) == empty] for empty in (False, True)}
        parts = []
        if read := rows[False]:
            histories, lengths = self._padded([indices[row] for row in read])
            rendered = self.renderer.cid2cid(histories, lengths).to(device)
            moved = None if shifts is None else shifts[read].to(device)
            parts.append(self.ranking.top_k(rendered, k, histories.to(device), banned[read].to(device), moved))
        if bare := rows[True]:
            scores = self._log_popularity.to(device).expand(len(bare), -1)
            if shifts is not None:
                scores = (scores + shifts[bare].to(device)).log_softmax(dim=1)
            parts.append(best(scores, k, banned[bare].to(device)))
        top, order = joined(parts), torch.tensor(rows[False] + rows[True]).argsort()
        return TopK(top.items[order.to(device)], top.log_probs[order.to(device)], top.certified[order.to(device)])

    @cached_property
    def _log_popularity(self) -> torch.Tensor:
        counts = self.table.report.get(COUNTS)
        if counts is None and "data_path" not in self.settings:
            raise InputError("a history is empty, and without the run's data set popularity is unknown; give items.")
        return log_popularity(first_counts(self._histories.values()) if counts is None else counts, self.item_tokens)

    @torch.no_grad()
    @checks(
        **{**DRAWS, "seed": "int or list of int"},
        domain=f"one of {', '.join(DOMAINS)} or None",
        exclude_history="bool",
        pool="int from 1",
        free_terms="bool",
        calibrate="bool",
    )
    def instruct(
        self,
        histories: Histories,
        media: str | Sequence[str] = "image",
        domain: str | None = None,
        think: bool = True,
        temperature: float | None = None,
        seed: int | Sequence[int] = 0,
        top_p: float = TOP_P,
        exclude_history: bool = True,
        pool: int = POOL,
        drafts: int = DRAFTS,
        free_terms: bool = False,
        preferences: AllStated = None,
        calibrate: bool = False,
    ) -> list[Instruction]:
        """An instruction for what comes next after each history.

        A single guess at the next item is mostly wrong. So the instruction is written from what is expected of the
        `pool` most probable items together. One of them stands for it in the prompt and in the answer's `aim`: that
        which is expected to agree with the next one the most beyond what any item would (see `Agreement`). Of several
        drafts the best is handed out (see `draft_scores`).

        Args:
            histories: raw item ids, oldest first; an empty one stands for somebody new.
            media: `image` or `video`, for all or for each.
            domain: what kind of catalogue it is; None: as in training.
            think: whether the model reasons before it answers.
            temperature: 0 for the most probable words, 1 to draw from the model; None: 2 for plans, 0.6 for free
                text. seed: of the draws, for all or for each; for the same history they are the same, whoever else is
                asked for.
            top_p: words are drawn among the most probable ones that hold this share together; 1 for all.
            exclude_history: False to let an item of the history be the next one.
            pool: 1 to write for the item ranked first.
            drafts: how many are drawn; at temperature 0 there is but one.
            free_terms: True to let the model draw the terms too, in place of naming those that are expected of the pool
                together; of free text only.
            preferences: of all, or a list with those of each; see `recommend`.
            calibrate: True to choose among the drafts so that the history's proportions hold, see `calibrated`.
        """
        if self.author is None:
            raise InputError(
                "this run has not learned to write instructions; run_generate --run=DIR trains a writer beside it."
            )
        # 1. Raw ids become item indices, once; a medium and a seed for each history.
        settings, planner = self.author.settings, self.author.planner
        indices = self._all_indices(histories, empty=True)
        media = [media] * len(indices) if isinstance(media, str) else listed("media", media)
        media = [checked("media", f"one of {', '.join(MEDIA)}", medium) for medium in media]
        if len(media) != len(indices):
            raise InputError(f"media names {len(media)} for {len(indices)} histories; give one for each, or one.")
        seeds = [seed] * len(indices) if isinstance(seed, int) else seed
        if len(seeds) != len(indices):
            raise InputError(f"seed has {len(seeds)} for {len(indices)} histories; give one for each, or one.")
        if not indices:
            return []
        name_terms = not free_terms and (settings["name_item"] or not settings["choose_item"])
        if planner is not None and not name_terms:
            raise InputError("a plan names the terms of what it is for; leave free_terms out, or train with name_item.")
        domain = domain or settings["domain"]
        if temperature is None:
            temperature = TEMPERATURE if planner is None else PLAN_TEMPERATURE
        drafts = drafts if temperature else 1

        # 2. What each instruction is for. One item's terms would be one guess: those expected of the pool are named.
        stated = preferences_of(preferences, len(indices))
        aims = self.aimed(indices, pool, exclude_history, stated)
        terms = [self._agreement.expected_terms(aim.items, aim.probabilities, len(aim.best.terms)) for aim in aims]
        briefs: list[Brief | None] = [None] * len(indices)
        if planner is not None:
            cases = zip(indices, aims, media, terms, strict=True)
            briefs = [planner.brief(read, aim.items, aim.probabilities, *case) for read, aim, *case in cases]

        # 3. Drafts.
        rows = [row for row in range(len(indices)) for _ in range(drafts)]
        histories = [[self.table.item_tokens[index] for index in history] for history in indices]
        keys = [[seeds[row], histories[row], media[row], place % drafts] for place, row in enumerate(rows)]
        answers = list(
            written_drafts(
                self.author,
                self.ranking,
                self._padded([indices[row] for row in rows]),
                [aims[row].index + 1 for row in rows],
                [(domain, media[row]) for row in rows],
                [int(content_hash(key)[:8], 16) for key in keys],
                [terms[row] for row in rows] if name_terms else None,
                None if planner is None else [briefs[row] for row in rows],
                think,
                temperature,
                top_p,
            )
        )

        # 4. The best draft of each.
        best, changed = [0] * len(indices), [None] * len(indices)
        if drafts > 1:
            catalogue, may_name = self.table.terms, supervision_settings(settings["supervision"]).name_terms
            cases = zip(indices, terms, media, briefs, strict=True)
            samples = [
                Sample("", tuple(catalogue[index] for index in read), expected, domain, medium, may_name, brief)
                for read, expected, medium, brief in cases
            ]
            starts = range(0, len(rows), drafts)
            choices = [[answer for _, answer, _, _ in answers[begin : begin + drafts]] for begin in starts]
            scores = draft_scores(self._space, samples, choices)
            best = scores.argmax(axis=1).tolist()
            if calibrate:
                texts = [[answer.target_ins for answer in own] for own in choices]
                best, changed = calibrated(self._space, [sample.history for sample in samples], texts, scores)
        instructions = []
        for row, draft in enumerate(best):
            raw, answer, log_prob, plan = answers[row * drafts + draft]
            thought = thought_with(answer.reasoning, stated[row])
            said = (thought, answer.target_tid, answer.target_ins, raw, log_prob, plan, changed[row])
            instructions.append(Instruction(aims[row].best, domain, media[row], *said))
        return instructions

    @cached_property
    def _space(self) -> TermSpace:
        author = self.author
        domain = "generic" if author is None else author.settings["domain"]
        planned = author is not None and author.planner is not None
        return TermSpace(self.table.terms, author.planner.facts if planned else None, domain)

    @cached_property
    def _agreement(self) -> Agreement:
        return Agreement(self.table.terms, self._space.encode([" ".join(terms) for terms in self.table.terms]))

    @checks(pool="int from 1", exclude_history="bool")
    def aims(
        self, histories: Histories, pool: int = POOL, exclude_history: bool = True, preferences: AllStated = None
    ) -> list[Recommendation]:
        """The items that stand for what is expected, see `instruct`; of a small catalogue the pool is what is left."""
        indices = self._all_indices(histories, empty=True)
        return [aim.best for aim in self.aimed(indices, pool, exclude_history, preferences)]

    @torch.no_grad()
    def aimed(
        self,
        indices: Sequence[Sequence[int]],
        pool: int = POOL,
        exclude_history: bool = True,
        preferences: AllStated = None,
    ) -> list[Aim]:
        """As `aims`, by the item indices of each history, and with the pools that they are from."""
        stated = preferences_of(preferences, len(indices))
        banned = self._banned(indices, None, exclude_history)
        sizes = [min(pool, max(1, self.table.n_items - len(set(read)) * exclude_history)) for read in indices]
        aims: dict[int, Aim] = {}
        for size in set(sizes):
            rows = [row for row, count in enumerate(sizes) if count == size]
            said = [stated[row] for row in rows]
            top = self._top([indices[row] for row in rows], size, banned[rows], said, wish=True)
            for row, items, scores in zip(rows, top.items.tolist(), top.log_probs.tolist(), strict=True):
                probabilities = [math.exp(score) for score in scores]
                best = int(self._agreement.gains(items, probabilities).argmax())
                aims[row] = Aim(self._recommendation(items[best], scores[best]), items[best], items, probabilities)
        return [aims[row] for row in range(len(indices))]

    def _padded(self, indices: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The newest items of histories as internal ids, right-padded (B, W), and how many they are, (B,)."""
        return padded([[index + 1 for index in history[-self.max_length :]] for history in indices])
