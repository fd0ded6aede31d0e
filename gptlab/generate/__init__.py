"""A model and a prompt -> a stream of tokens."""
