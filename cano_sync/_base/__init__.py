"""The ground floor: durations, waiting, tokens, store and fence. It knows of no workflow."""
