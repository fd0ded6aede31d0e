"""ids -> logits: the decoder, and what it costs."""
