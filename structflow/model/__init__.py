"""The model: the graph recursion for a whole batch of members at once."""
