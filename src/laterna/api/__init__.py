"""HTTP: what clients of fal send and expect, over the facades of `requests`, `catalog` and `media`.

One module per surface. Errors become status codes here and nowhere else (`laterna.api.errors`).
"""
