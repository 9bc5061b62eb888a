"""Generation: instructions become images and videos."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "records": "InstructionRecord read_records write_records",
        "settings": "GenerationSettings generation_settings",
        "interfaces": "Catalogue item_images",
        "media_folder": "Generated",
        "make": "build_encoder build_generators generate score",
        "media_head": "MadeMedia MediaHead",
    },
)
