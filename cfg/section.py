"""Base class and value types that all sections of the settings share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]  # a probability or a part of a whole
Positive = Annotated[float, Field(gt=0.0)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
Scale = Annotated[float, Field(ge=0.1, le=4.0)]
RATES = (0.01, 16.0)  # least and largest scale at which images are cut into tiles
Rate = Annotated[float, Field(ge=RATES[0], le=RATES[1])]
Turns = Annotated[int, Field(ge=0, le=3)]
SIZE_STEP = 32  # the coarsest stride of a backbone: every input side is a multiple of it


class Section(BaseModel):
    """Frozen, strict about unknown keys, every number finite; docstrings of settings say what they mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
