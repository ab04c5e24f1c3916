"""Pipelines: batches whole or in parts, and what a bad input costs the others."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall.serving import InferenceOutputModel, InferencePipeline, TypeValidationError
from squall.serving.pipeline import isolated


class Doubling(InferencePipeline):
    def preprocess(self, input_list: list[int]) -> dict[str, Any]:
        return {"doubled": [2 * each for each in input_list]}

    def predict(self, input_list: list[int], preprocessed_data: dict[str, Any]) -> dict[str, Any]:
        return preprocessed_data

    def postprocess(self, input_list: list[int], raw_output: dict[str, Any]) -> Any:
        return [InferenceOutputModel(value=each) for each in raw_output["doubled"]]  # type: ignore[call-arg]


def test_steps_run_one_after_another_and_outputs_keep_the_order() -> None:
    outputs = Doubling("m", "/models", {}).run_inference([1, 2, 3])
    assert [each.model_dump()["value"] for each in outputs] == [2, 4, 6]


def test_a_pipeline_without_its_steps_can_not_be_made() -> None:
    class Unfinished(InferencePipeline):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Unfinished("m", "/models", {})  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (None, "must return a list, not NoneType"),
        ([InferenceOutputModel()], "returned 1 outputs for 2 inputs"),
        ([{}, {}], "must return InferenceOutputModels, not dict"),
    ],
)
def test_anything_but_one_output_each_is_refused(outputs: Any, said: str) -> None:
    class Odd(Doubling):
        def postprocess(self, input_list: list[int], raw_output: dict[str, Any]) -> Any:
            return outputs

    with pytest.raises(TypeValidationError, match=said):
        Odd("m", "/models", {}).run_inference([1, 2])


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 3))
def test_only_bad_inputs_fail_and_each_is_run_again_as_often_as_said(
    bad: list[bool], retries: int
) -> None:
    alone = dict.fromkeys(range(len(bad)), 0)

    def run(batch: list[int]) -> list[int]:
        if len(batch) == 1:
            alone[batch[0]] += 1
        for each in batch:
            if bad[each]:
                raise ValueError(each)
        return batch

    outcomes = isolated(run, list(range(len(bad))), retries)
    for index, outcome in enumerate(outcomes):
        if bad[index]:
            assert isinstance(outcome, ValueError)
            assert outcome.args == (index,)
            assert alone[index] == retries + 1
        else:
            assert outcome == index
            assert alone[index] <= 1


@given(st.integers(1, 30), st.data())
def test_after_a_broken_gpu_nothing_is_tried_again(size: int, data: st.DataObject) -> None:
    poison = data.draw(st.integers(0, size - 1))
    calls: list[list[int]] = []
    breaks_at = data.draw(st.integers(1, 8))

    def run(batch: list[int]) -> Sequence[int]:
        calls.append(batch)
        if len(calls) >= breaks_at:
            raise RuntimeError("CUDA error: device-side assert triggered")
        if poison in batch:
            raise ValueError("bad")
        return batch

    outcomes = isolated(lambda batch: list(run(batch)), list(range(size)))
    assert len(outcomes) == size
    assert len(calls) <= breaks_at
    if len(calls) == breaks_at:
        assert any(isinstance(each, RuntimeError) for each in outcomes)
