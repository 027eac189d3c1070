"""Readers of videos and sound. `entry` tells the host of them, `sound` and `video` are what a device is handed."""
