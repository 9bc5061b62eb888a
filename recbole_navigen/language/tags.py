"""What the model is told about an instruction it shall write: the kind of catalogue, and what is to be made."""

DOMAINS = ("generic", "product", "game", "short_video", "film")
MEDIA = ("image", "video")
