"""Model cards: what can be generated here, under which licence, at which price, through which endpoints.

A card is data; the code that runs it is a family, named by the card and never imported here.
"""
