"""Keeps what the code of others prints and logs apart from results."""
