"""A queue of work for containers, and a dict of what they found; both outlive the run.

squall run examples/12_dict_queue.py
"""

import queue

import squall

app = squall.App("crawl")
pages = squall.Queue.from_name("crawl-pages", create_if_missing=True)
sizes = squall.Dict.from_name("crawl-sizes", create_if_missing=True)

LINKS = {"home": ["news", "about"], "news": ["home", "story"], "about": [], "story": ["news"]}


@app.function(max_containers=3)
def crawl() -> int:
    visited = 0
    while True:
        try:
            page = pages.get(timeout=1.0)
        except queue.Empty:
            return visited
        # Of all containers that find a page, one is the first.
        if sizes.put(page, len(LINKS[page]), skip_if_exists=True):
            visited += 1
            pages.put_many(LINKS[page])


@app.local_entrypoint()
def main() -> None:
    sizes.clear()
    pages.clear()
    pages.put("home")
    visited = squall.gather(*(crawl.spawn() for _ in range(3)))
    print("visited", sum(visited), "pages")
    for page, links in sorted(sizes.items()):
        print(f"{page}: {links} links")
    print("left in the queue:", pages.len())
