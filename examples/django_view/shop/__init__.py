"""A shop that asks carriers before it takes an order."""
