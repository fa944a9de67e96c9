"""What a model relies on in a clip: numbers (`explanation`), figures (`drawing`), `signx-hf explain` (`command`)."""
