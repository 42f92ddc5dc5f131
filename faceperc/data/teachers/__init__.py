"""Teachers: other models that label our photographs. docs/teachers.md says how they are used."""
