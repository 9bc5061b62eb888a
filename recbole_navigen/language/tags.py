"""What the model is told about an instruction it shall write: the kind of catalogue, and what is to be made."""

DOMAINS = ("generic", "product", "game", "short_video", "film")
MEDIA = ("image", "video")
# How answers are drawn for people to read, the best of so many drafts: at temperature 0 free text repeats itself, and
# plans, of which any is sound, are drawn more widely than the model has them (on validation a quarter more pairs of
# subject and setting, the gap of similarity unchanged).
TEMPERATURE, PLAN_TEMPERATURE, TOP_P, DRAFTS = 0.6, 2.0, 0.9, 4
# What draws take, in the words of settings' descriptions; `run_generate` takes them too.
DRAWS = {
    "think": "bool",
    "temperature": "float from 0 or None",
    "top_p": "float above 0 to 1",
    "drafts": "int from 1",
    "seed": "int",
}
SCRATCH = "scratch"  # the backbone that is built here, in place of a pretrained one
