"""What turns pictures, clips and texts into vectors: CLIP, sentence encoders, and a store of their vectors."""
