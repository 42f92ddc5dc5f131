"""The parts of a drawing: strokes, masks, text and where it goes. ``faceperc.draw`` puts them together."""
