"""Reading, mixing and augmenting the data."""
