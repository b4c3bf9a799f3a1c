"""Rules for the descriptions in both APIs."""

EMPTY_PHRASES = {"What to do it with.", "Which way.", "What it is.", "Exactly one of its fields."}


def is_useful(text: str | None) -> bool:
    """Return whether a description has at least two words and is not a known empty phrase."""
    return text is not None and len(text.split()) >= 2 and text not in EMPTY_PHRASES
