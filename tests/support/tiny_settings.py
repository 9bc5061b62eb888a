"""Settings of models that train in a second or two."""

NAVIGEN = {
    "item_text_fields": ["title", "genre"],
    "collaborative_config": {
        "SASRec": {"train_rows": "user", "epochs": 4, "train_batch_size": 16, "hidden_size": 16, "inner_size": 16},
        "LightGCN": {"epochs": 1, "embedding_size": 16},
        "BPR": {"epochs": 1, "embedding_size": 16},
    },
    "codes": 8,
    "hidden_size": 16,
    "inner_size": 16,
    "text_vocabulary": 400,
    "mapping_batch_size": 4,
    "instruction_batch_size": 2,
    "writer_steps": 6,
    "writer_batch_size": 2,
    "instruction_vocabulary": 2000,
    "thought_tokens": 80,
    "instruction_tokens": 60,
    "supervision": {"rounds": 1, "moments_per_user": 1},
}

WIDTH = {"hidden_size": 16, "inner_size": 16}
SASREC = {**WIDTH, "train_rows": "user", "epochs": 6, "train_batch_size": 16}
BASELINES = {
    "Pop": {},
    "ItemKNN": {"k": 5},
    "BPR": {"embedding_size": 8},
    "LightGCN": {"embedding_size": 8},
    "GRU4Rec": {"embedding_size": 8, "hidden_size": 8},
    "SASRec": {"hidden_size": 8, "inner_size": 16, "n_heads": 1, "n_layers": 1},
    "BERT4Rec": {"hidden_size": 8, "inner_size": 16, "n_heads": 1, "n_layers": 1},
}
# Supervision by an endpoint that stands in for a language model: few samples, one round of drafts.
ENDPOINT_SAMPLES = 4
ENDPOINT = {
    "teacher": "openai",
    "judge": "template",
    "rounds": 0,
    "population": 2,
    "media": "image",
    "samples": ENDPOINT_SAMPLES,
}

# A run of all four stages.
STAGES = ["align", "finetune", "write", "reinforce"]
REINFORCE = {
    "steps": 4,
    "eval_every": 2,
    "prompts": 8,
    "group": 4,
    "instruction_prompts": 2,
    "instruction_group": 2,
    "eval_prompts": 4,
    "learning_rate": 0.01,
    "instruction_learning_rate": 0.01,
}
REINFORCED = {
    **NAVIGEN,
    "training_stages": STAGES,
    "reinforce": REINFORCE,
    "show_progress": False,
    "use_gpu": False,
    "epochs": 2,
    "MAX_ITEM_LIST_LENGTH": 8,
    "state": "ERROR",
    "dropout": 0.1,
}
