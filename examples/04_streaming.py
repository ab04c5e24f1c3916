"""A generator that runs remotely and hands over each item as it is made.

squall run examples/04_streaming.py --text "any words you like"
"""

from collections.abc import Iterator

import squall

app = squall.App("streaming")


@app.function()
def words(text: str) -> Iterator[str]:
    for word in text.split():
        yield word.upper()


@app.local_entrypoint()
def main(text: str = "one word at a time") -> str:
    seen = []
    for word in words.remote_gen(text):
        print(word)
        seen.append(word)
    return " ".join(seen)
