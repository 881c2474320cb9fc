"""What a user can set for the service and its workers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dl4fiji.errors import InputError
from dl4fiji.files import read_json, write_json
from dl4fiji.home import Home


class Settings(BaseModel):
    """The content of ``settings.json``; every value has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 takes a free one. Used at the next start.")
    download_limit_gib: float = Field(
        4.0, gt=0, le=1024, description="GiB that a model fetched from the web may have at most."
    )

    @classmethod
    def read(cls, home: Home) -> Settings:
        """Return the user's settings; InputError if the file is damaged."""
        if not home.settings_file.exists():
            return cls()  # type: ignore[call-arg]
        try:
            return cls.model_validate(read_json(home.settings_file))
        except (ValidationError, ValueError) as error:
            raise InputError(f"{home.settings_file} cannot be used: mend or delete it ({_first(error)}).") from error

    def write(self, home: Home) -> None:
        """Keep the settings."""
        write_json(home.settings_file, self.model_dump())


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        finding = error.errors()[0]
        return f"{'.'.join(map(str, finding['loc']))}: {finding['msg']}"
    return str(error)
