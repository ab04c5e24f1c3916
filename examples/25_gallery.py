"""Much of it together: many containers crawl a little web, a class searches it over HTTP."""

import json
import urllib.request
from pathlib import Path

import squall

app = squall.App("gallery")
pages = squall.Dict.from_name("example-gallery-pages", create_if_missing=True)
index = squall.Volume.from_name("example-gallery-index", create_if_missing=True)
WORDS = Path("/index/words.json")
WEB = {
    "home": ("welcome to a small web", ["tea", "birds"]),
    "tea": ("green tea and black tea", ["home", "water"]),
    "birds": ("birds that drink water", ["water"]),
    "water": ("water boils", []),
}


@app.function(retries=2, max_containers=3)
def fetch(page: str) -> list[str]:
    text, links = WEB[page]
    pages.put(page, text)
    return [link for link in links if link not in pages]


@app.function(volumes={"/index": index})
def build() -> None:
    WORDS.write_text(json.dumps({page: text.split() for page, text in pages.items()}))
    index.commit()


@app.cls(volumes={"/index": index.read_only()})
class Search:
    @squall.enter()
    def load(self) -> None:
        self.words: dict[str, list[str]] = json.loads(WORDS.read_text())

    @squall.method()
    def find(self, word: str) -> list[str]:
        return sorted(page for page, words in self.words.items() if word in words)


@app.web_endpoint(path="/search/{word}", method="GET")
def search(word: str) -> dict[str, list[str]]:
    return {"pages": Search().find.remote(word)}


@app.local_entrypoint()
def main(word: str = "water") -> None:
    pages.clear()
    wave = ["home"]
    while wave:
        print(f"fetching {', '.join(wave)}")
        wave = sorted({link for links in fetch.map(wave) for link in links})
    build.remote()
    url = str(search.get_web_url()).replace("{word}", word)
    print(json.load(urllib.request.urlopen(url)))
