"""Files of a run: the state to resume from, the bundle to translate with, other tools' weights."""
