"""Sentences that are true of a scene, in English or Dutch, lower case, at most fourteen words.

Every sentence is drawn from a table of frames; `vocabulary` lists the words that any of them can hold. Knows nothing
of pixels.
"""

import re
from dataclasses import dataclass

import numpy as np

from zoo.sprite import art, colours
from zoo.sprite.subjects import Subject

WORDS = 14  # most words and commas a sentence has
DUTCH = 0.25  # share of Dutch sentences
UNSTYLED = 0.5  # share of 3d scenes whose style goes unsaid: without a style word a picture is 3d

SYNONYMS = {
    "teal": ["turquoise", "cyan"],
    "navy": ["dark blue", "navy blue"],
    "purple": ["violet"],
    "blue": ["bright blue"],
}
DUTCH_COLOURS = {
    "red": "rode",
    "orange": "oranje",
    "yellow": "gele",
    "green": "groene",
    "teal": "turquoise",
    "blue": "blauwe",
    "navy": "donkerblauwe",
    "purple": "paarse",
    "pink": "roze",
    "brown": "bruine",
    "white": "witte",
    "black": "zwarte",
    "gray": "grijze",
}
STYLES = {
    "3d": ["3d"],
    "flat": ["flat", "flat", "flat", "vector"],
    "cartoon": ["cartoon", "cartoon", "cartoon", "comic"],
}
DUTCH_STYLES = {"3d": ["3d"], "flat": ["platte"], "cartoon": ["cartoon"]}
SPOKEN = {"fox": "red"}  # colours that people say of a subject whatever its pixels are
FILLERS = ["cute", "small", "big", "little", "shiny", "happy", "single", "beautiful", "nice", "simple"]
PLURALS = {"grapes", "cherries", "pancakes", "french fries", "fries", "glasses", "sunglasses", "socks", "headphones"}
PLURALS |= {"books", "scissors", "swords", "paw prints", "popcorn", "sushi", "corn", "bread", "honey", "coffee", "wine"}
PLURALS |= {
    "beer",
    "milk",
    "broccoli",
    "lightning",
    "garlic",
    "blueberries",
    "jeans",
    "gloves",
    "soap",
    "wood",
    "candy",
}
DUTCH_PLURALS = {"druiven", "kersen", "pannenkoeken", "patat", "frietjes", "sokken", "boeken", "zwaarden", "bosbessen"}
DUTCH_PLURALS |= {"pootafdrukken", "popcorn", "sushi", "maïs", "brood", "honing", "koffie", "wijn", "bier", "melk"}
DUTCH_PLURALS |= {
    "broccoli",
    "bliksem",
    "knoflook",
    "handschoenen",
    "zeep",
    "hout",
    "snoep",
    "vuur",
    "chocolade",
    "wol",
}

# {a}: the thing with its article, {n}: without, {c}: background, {s}: style
PLAIN = ["{a} on a {c} background"] * 5 + ["{n}, {c} background"] * 2
PLAIN += ["{a} on {c}", "{a} against a {c} background", "{a} with a {c} background", "a {c} background with {a}"]
PLAIN += ["the {n} on the {c} background", "a picture of {a} on a {c} background", "an icon of {a} on a {c} background"]
PLAIN += ["an emoji of {a}, {c} background", "{a}"]
STYLED = ["a {s} {n} on a {c} background"] * 3 + ["{a} on a {c} background, {s} style"] * 3
STYLED += ["{a} in {s} style on a {c} background", "{n}, {s}, {c} background", "{s} {n}, {c} background"]
STYLED += ["a {s} icon of {a} on a {c} background", "a {s} picture of {a}, {c} background", "{a}, {s} style"]
DUTCH_PLAIN = ["{a} op een {c} achtergrond"] * 4 + ["{n}, {c} achtergrond", "{a} voor een {c} achtergrond", "{a}"]
DUTCH_PLAIN += ["een plaatje van {a}, {c} achtergrond"]
DUTCH_STYLED = ["{a} op een {c} achtergrond, {s} stijl", "{a} in {s} stijl op een {c} achtergrond"]
DUTCH_STYLED += ["een {s} {n} op een {c} achtergrond", "{n}, {s}, {c} achtergrond"]
TERSE, DUTCH_TERSE = "{n}, {s}, {c} background", "{n}, {s}, {c} achtergrond"  # where a drawn sentence is too long


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows."""

    things: tuple[Subject, ...]  # one, or two from left to right
    tint: str  # English colour word true of the only thing, "" to say none
    style: str  # of `art.STYLES`
    ground: str  # of `colours.NAMES`


def sentence(scene: Scene, rng: np.random.Generator) -> str:
    """A true sentence; it always names the things, and the style unless that is 3d."""
    dutch = rng.random() < DUTCH
    styled = scene.style != "3d" or rng.random() > UNSTYLED
    frames = [[PLAIN, STYLED], [DUTCH_PLAIN, DUTCH_STYLED]][dutch][styled]
    frame = str(rng.choice(frames))
    said = _fill(frame, scene, rng, dutch=dutch)
    for _ in range(8):
        if count(said) <= WORDS:
            return said
        said = _fill(DUTCH_TERSE if dutch else TERSE, scene, rng, dutch=dutch)
    return said


def count(text: str) -> int:
    """Words and marks of a sentence, as the tokenizer splits it."""
    return len(re.findall(r"\w+|[^\w\s]+", text))


def _fill(frame: str, scene: Scene, rng: np.random.Generator, *, dutch: bool) -> str:
    things = [_thing(thing, scene.tint, rng, dutch=dutch) for thing in scene.things]
    articles = [_article(name, described, dutch=dutch) for name, described in things]
    joint = " en " if dutch else " and "
    if "{s} {n}" in frame:  # the article before the style word is the frame's
        bare = joint.join([things[0][1], *articles[1:]])
    else:
        bare = joint.join(described for _, described in things)
    styles = (DUTCH_STYLES if dutch else STYLES)[scene.style]
    ground = _ground(scene.ground, rng, dutch=dutch)
    said = frame.format(a=joint.join(articles), n=bare, c=ground, s=rng.choice(styles))
    return said if dutch else said.replace(" a orange", " an orange")


def _ground(ground: str, rng: np.random.Generator, *, dutch: bool) -> str:
    if dutch:
        return DUTCH_COLOURS[ground]
    return str(rng.choice(SYNONYMS[ground])) if ground in SYNONYMS and rng.random() < 0.2 else ground


def _thing(thing: Subject, tint: str, rng: np.random.Generator, *, dutch: bool) -> tuple[str, str]:
    """A name, and the name with its adjectives."""
    names = thing.dutch if dutch else thing.names
    name = names[0] if rng.random() < 0.7 else str(rng.choice(names))
    described = name
    if tint:
        described = f"{DUTCH_COLOURS[tint] if dutch else tint} {described}"
    elif not dutch and rng.random() < 0.1:
        described = f"{rng.choice(FILLERS)} {described}"
    return name, described


def _article(name: str, described: str, *, dutch: bool) -> str:
    if dutch:
        return described if name in DUTCH_PLURALS else f"een {described}"
    return with_article(described, name)


def with_article(described: str, name: str) -> str:
    """`described`, which ends in the subject's English `name`, with the article it needs."""
    if name in PLURALS:
        return described
    return f"an {described}" if described[0] in "aeiou" else f"a {described}"


def asked(scene: Scene) -> str:
    """The one sentence by which a scene of a single thing is asked for when a model is judged."""
    name = scene.things[0].names[0]
    styled = f"{with_article(name, name)} on a {scene.ground} background, {scene.style} style"
    return styled.replace(" a orange", " an orange")


def vocabulary(known: tuple[Subject, ...]) -> list[str]:
    """Every word and mark that a sentence about these subjects can hold, sorted."""
    texts = [name for thing in known for name in (*thing.names, *thing.dutch)]
    texts += [*colours.NAMES, *DUTCH_COLOURS, *DUTCH_COLOURS.values(), *art.STYLES, *FILLERS, "an", "and", "een", "en"]
    texts += [word for table in (SYNONYMS, STYLES, DUTCH_STYLES) for words in table.values() for word in words]
    frames = [*PLAIN, *STYLED, *DUTCH_PLAIN, *DUTCH_STYLED, TERSE, DUTCH_TERSE]
    texts += [re.sub(r"{\w}", " ", frame) for frame in frames]
    return sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())})
