"""What every other part may use: errors, progress, signals, atomic files, bounded text and tensor readers."""
