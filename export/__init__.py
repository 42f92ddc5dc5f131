"""From a trained model to the file that the runtime reads."""
