"""What a model relies on in a clip: as numbers (`explanation`), as figures (`drawing`), on the command line (`command`)."""
