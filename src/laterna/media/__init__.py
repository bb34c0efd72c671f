"""Bytes in and out: the guarded fetcher, stored objects, image codecs and the marks that say an output was generated.

Torch-free, and knows neither requests nor models. A URL that a user gives is fetched by `fetch` alone.
"""
