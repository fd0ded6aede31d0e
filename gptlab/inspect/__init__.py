"""What goes on inside a model while it reads a text: where it looks, what it guesses on the way, what each part adds."""
