"""Functions that call functions: a container fans out to others and adds up."""

from collections import Counter

import modal

app = modal.App("map-reduce")
LINES = ["to be or not to be", "that is the question", "to sleep"]


@app.function()
def count_words(line: str) -> Counter:
    return Counter(line.split())


@app.function()
def reduce_all(lines: list[str]) -> list[tuple[str, int]]:
    total: Counter = Counter()
    for counts in count_words.map(lines):
        total += counts
    return total.most_common(2)


@app.local_entrypoint()
def main():
    print("most common", reduce_all.remote(LINES))
