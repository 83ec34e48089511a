"""What a run leaves on disk: the state to resume from, the bundle to translate with, other tools' weights."""
