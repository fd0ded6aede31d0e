"""What is left free on a disk, whoever writes to it."""

SPARE_BYTES = 32 * 2**20  # so that a training's events still fit where something large does not
