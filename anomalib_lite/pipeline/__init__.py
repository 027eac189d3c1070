"""The use cases, a module for each verb of the command line: each reads from top to bottom."""
