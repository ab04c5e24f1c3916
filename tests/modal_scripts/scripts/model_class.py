"""A model server: load once in enter, parameters choose the model, methods answer."""

import time

import modal

app = modal.App("model-class")


@app.cls(scaledown_window=60, max_containers=2)
class Sentiment:
    language: str = modal.parameter(default="en")
    threshold: int = modal.parameter(default=1)

    @modal.enter()
    def load(self):
        self.loaded_at = time.time()
        words = {"en": {"good", "great"}, "de": {"gut", "toll"}}
        self.positive = words[self.language]

    @modal.method()
    def score(self, text: str) -> int:
        return sum(word in self.positive for word in text.lower().split())

    @modal.method()
    def is_happy(self, text: str) -> bool:
        return self.score.local(text) >= self.threshold

    @modal.exit()
    def bye(self):
        print(f"unloading {self.language}", flush=True)


@app.local_entrypoint()
def main():
    english = Sentiment()
    print("en", english.score.remote("A good and great day"))
    print("happy", english.is_happy.remote("a dull day"))
    german = Sentiment(language="de", threshold=2)
    print("de", list(german.score.map(["gut", "toll gut", "naja"])))
