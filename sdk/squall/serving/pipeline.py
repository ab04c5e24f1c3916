"""What users write: a pipeline that turns a batch of inputs into as many outputs; and how one bad
input of a batch is kept from the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from squall.serving.errors import TypeValidationError
from squall.serving.payloads import InferenceOutputModel

I = TypeVar("I")  # noqa: E741 - an input
O = TypeVar("O")  # noqa: E741 - an output

_CUDA: Final = "CUDA error"


class InferencePipeline(ABC):
    """One model: made once in each container, then given batches.

    `model_name`: whose entry of the settings this is. `all_model_data_folder`: where models' files
    lie. `common_settings`: what all models share. What else the model's entry says comes as keyword
    arguments. All of it runs on one thread, one batch after another.
    """

    def __init__(
        self,
        model_name: str,
        all_model_data_folder: str,
        common_settings: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self.model_name = model_name
        self.all_model_data_folder = all_model_data_folder
        self.common_settings = common_settings

    @abstractmethod
    def preprocess(self, input_list: list[Any]) -> dict[str, Any]:
        """What `predict` needs of these inputs."""

    @abstractmethod
    def predict(self, input_list: list[Any], preprocessed_data: dict[str, Any]) -> dict[str, Any]:
        """The model's raw outputs for a whole batch."""

    @abstractmethod
    def postprocess(
        self, input_list: list[Any], raw_output: dict[str, Any]
    ) -> Sequence[InferenceOutputModel]:
        """One output for each input, in their order."""

    def on_volume_reload(self) -> None:
        """Called between batches after the volumes were reloaded: the place to look for new
        weights. What it raises is logged, and the service goes on with what it has."""
        return

    def run_inference(self, input_list: list[Any]) -> list[InferenceOutputModel]:
        """The three steps for one batch. TypeValidationError unless there is one output each."""
        preprocessed = self.preprocess(input_list)
        raw = self.predict(input_list, preprocessed)
        return checked(self, input_list, self.postprocess(input_list, raw))


def checked(pipeline: object, inputs: Sequence[Any], outputs: object) -> list[InferenceOutputModel]:
    """The outputs, if there is one of the right type for each input. TypeValidationError."""
    where = f"{type(pipeline).__name__}.postprocess"
    if not isinstance(outputs, list | tuple):
        raise TypeValidationError(f"{where} must return a list, not {type(outputs).__name__}")
    if len(outputs) != len(inputs):
        raise TypeValidationError(
            f"{where} returned {len(outputs)} outputs for {len(inputs)} inputs: return one for each"
        )
    for each in outputs:
        if not isinstance(each, InferenceOutputModel):
            raise TypeValidationError(
                f"{where} must return InferenceOutputModels, not {type(each).__name__}"
            )
    return list(outputs)


def isolated(
    run: Callable[[list[I]], list[O]], inputs: list[I], retries: int = 0
) -> list[O | Exception]:
    """Run a batch so that an input that fails takes no other with it.

    A batch that raises is cut in halves, and these again, down to the input that fails alone, which
    is run `retries` more times before its exception is its outcome. A broken GPU fails everything
    from then on: nothing is tried again after one, and all that is left has that exception.
    """
    try:
        return list(run(inputs))
    except Exception as error:  # noqa: BLE001 - it becomes the outcome of those it belongs to
        if is_cuda_error(error):
            return [error] * len(inputs)
        if len(inputs) > 1:
            middle = len(inputs) // 2
            first = isolated(run, inputs[:middle], retries)
            broken = next((e for e in first if isinstance(e, Exception) and is_cuda_error(e)), None)
            rest = inputs[middle:]
            return first + ([broken] * len(rest) if broken else isolated(run, rest, retries))
        return isolated(run, inputs, retries - 1) if retries > 0 else [error]


def is_cuda_error(error: BaseException) -> bool:
    """Whether the GPU is of no use to this process any more, as far as a message can tell."""
    return _CUDA in str(error)
