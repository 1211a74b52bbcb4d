"""The engine: what happens once, when a description is run. Nothing here is promised to users."""
