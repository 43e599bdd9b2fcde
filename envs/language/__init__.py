"""Tasks of language models: texts that a model can score but not sample."""
