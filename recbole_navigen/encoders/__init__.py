"""What turns pictures, clips and texts into vectors: CLIP, sentence encoders, and a store of their vectors."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "clip": "ClipEncoder",
        "encoded": "Encoded",
        "sentences": "SentenceSpace TextSpace TfidfSpace",
        "frames": "read_frames",
        "pictures": "open_picture",
        "vector_store": "VectorStore",
    },
)
