"""What a model can be exported as. Needs no torch, so that the command line's help never waits for it."""

FORMATS = ("hf", "gguf", "script")
NUMBER_FORMATS = ("f32", "f16", "q8_0")  # of GGUF; the others keep every number as it is
