"""Images from files, bytes or arrays: formats, readers of plugins, and how an image becomes frames of the graph."""
