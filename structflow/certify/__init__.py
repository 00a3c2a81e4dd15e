"""How exact hypergradients are: each against finite differences, with what it costs."""
