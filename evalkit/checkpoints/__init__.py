"""From bytes to a model: files read as data, weights matched strictly, code only from the user's factory."""
