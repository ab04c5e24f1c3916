"""What 20_serving.py serves: what goes in, what comes out, and the pipeline between them."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from squall.serving import InferenceOutputModel, InferencePipeline


class Review(BaseModel):
    text: str


class Rating(InferenceOutputModel):
    stars: int
    batch: int


class Stars(InferencePipeline):
    def __init__(self, *args: Any, good_words: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.good_words = frozenset(good_words)

    def preprocess(self, input_list: list[Review]) -> dict[str, Any]:
        return {"words": [each.text.split() for each in input_list]}

    def predict(
        self, input_list: list[Review], preprocessed_data: dict[str, Any]
    ) -> dict[str, Any]:
        batch = preprocessed_data["words"]
        return {"good": [sum(word in self.good_words for word in words) for words in batch]}

    def postprocess(
        self, input_list: list[Review], raw_output: dict[str, Any]
    ) -> Sequence[InferenceOutputModel]:
        most, size = self.common_settings["most"], len(input_list)
        return [Rating(stars=min(most, 1 + good), batch=size) for good in raw_output["good"]]
