"""structflow's own plugins; they come in through the entry point like anyone's, and nobody imports them."""
