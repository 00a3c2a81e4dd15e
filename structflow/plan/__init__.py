"""The plan: everything that can be said about a run before it trains anything."""
