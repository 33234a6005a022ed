"""What examples/packed.yaml counts with: packed with the workflow, so no worker needs it."""
from tools.split import words_of


def count(text):
    words = words_of(text)
    return {"words": len(words), "longest": max(words, key=len)}
