"""A finished result made visible: the terminal sections of a finding, the summary of a sweep.

Rule: a report reads results and never changes them; it knows neither pytest nor the store.
"""
