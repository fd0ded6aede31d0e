"""Tokens to a trained model, as a stream of events."""
