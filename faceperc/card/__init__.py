"""Model cards: written from what a model folder holds, so that no figure is typed by hand."""
