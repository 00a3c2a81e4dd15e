"""Carrying out a plan: tasks that read and write the store, and the executors that run them."""
