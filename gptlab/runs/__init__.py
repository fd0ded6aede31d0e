"""A run's folder and its life: what is on disk, how it gets there safely, who is working on it."""
