"""The review station: a server on this computer, and the page where people look at results and decide on them."""
