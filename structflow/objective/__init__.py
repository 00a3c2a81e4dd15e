"""The objective: the evidence bound of every member of a population, each term kept apart."""
