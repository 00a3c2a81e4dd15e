"""One command a module; the module's name is the command's, and `command` is what runs."""
