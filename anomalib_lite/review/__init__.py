"""What people decide on results: the log, and what becomes of it; nothing here draws a page or measures an image."""
