"""The language model: vocabulary, rendering of the tasks, and a Hugging Face decoder that reads dual identifiers."""
