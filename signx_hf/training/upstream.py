"""Where the model is that a training run starts from."""

from pathlib import Path

from ..assets import check_place, model_place
from ..modeling.configuration_signx import SignXConfig
from ..processing.errors_signx import SignXError


def model_folder(option: str, model: str, remedy: str) -> str:
    """Return the folder, or the name on the Hub, of a model that an option names.

    Args:
        option: its name, for messages.
        model: its value.
        remedy: what to pass instead, without the final period.

    Raises:
        SignXError: If there is none.
    """
    place = model_place(model)
    try:
        check_place(place, remedy)
    except (OSError, ValueError) as error:
        raise SignXError(f"`{option}` must be a trained model: {error}") from error
    if not Path(place).is_dir():
        try:  # "runs/stage1" may be a folder that is not there yet, or a name on the Hub
            SignXConfig.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise SignXError(
                f"`{option}` must be a trained model: {model} is neither a folder nor a name on the Hub. {remedy}."
            ) from error
    return place
