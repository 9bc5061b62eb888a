"""The neural networks of NaviGen: language model, decoders over items, writer."""
