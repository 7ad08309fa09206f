"""A complete, small session system that survives what the plugin injects, written to be read.

`durable` is the one path to the disk; `store` keeps a conversation on it and moves old messages into archives.
Nothing here knows the plugin, and everything that is slow, random or a clock is handed in.
"""
