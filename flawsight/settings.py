"""All settings in one typed place: defaults, ``FLAWSIGHT_*`` environment variables, flags.

Flags win over the environment, the environment over the defaults.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from flawsight.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Every field is read from ``FLAWSIGHT_<FIELD>`` unless given as an argument."""

    model_config = SettingsConfigDict(env_prefix="FLAWSIGHT_", extra="ignore")

    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(5000, ge=0, le=65535, description="Port of the web server; 0 picks a free one.")
    instance: Path = Field(
        PROJECT_ROOT / "instance", description="Folder for the database, the pictures and the secret key."
    )
    model: Path = Field(
        PROJECT_ROOT / "best_model_unified.onnx",
        description="Model file: .onnx (ONNX Runtime) or .pth (torch).",
    )
    models: Path | None = Field(
        None, description="Folder of installed models; by default `models/` beside the model file."
    )
    runs: Path | None = Field(
        None, description="Folder where comparisons are found; by default `runs/` beside the model file."
    )
    loaded_models: int = Field(3, ge=1, description="Models kept in memory; others are loaded on demand.")
    max_model_mb: float = Field(256, gt=0, description="Largest model file that may be installed, in MiB.")
    samples: Path = Field(PROJECT_ROOT / "sample", description="Folder of the sample gallery.")
    max_upload_mb: float = Field(32, gt=0, description="Largest accepted upload, in MiB.")
    max_pixels: int = Field(50_000_000, gt=0, description="Largest accepted image, in pixels.")
    threads: int = Field(0, ge=0, description="Threads of one network pass; 0 means one per core.")
    secret_key: str | None = Field(
        None, description="Key that signs sessions; by default made once and kept in the instance folder."
    )
    password: SecretStr | None = Field(
        None, description="Makes the user 'admin' with this password, or gives it to them, at every start."
    )
    token: SecretStr | None = Field(
        None,
        min_length=20,
        description="A token for programs, which may inspect with it; 20 characters or more.",
    )
    insecure: bool = Field(
        False,
        description="Let other computers inspect and review without signing in, as long as no user exists.",
    )
    behind_https: bool = Field(
        False, description="An HTTPS proxy that sets X-Forwarded-For stands before this server."
    )
    golden: str | None = Field(
        None,
        description="When the golden parts must pass before anything is inspected: 'every 8 h', or the "
        "starts of shifts, '06:00, 14:00, 22:00'; by default never.",
    )
    session_idle_min: float = Field(60, gt=0, description="Minutes without use that end a session.")
    session_max_h: float = Field(12, gt=0, description="Hours after which everybody must sign in again.")


def load_settings(**overrides: object) -> Settings:
    """Settings with ``overrides`` (``None`` values are ignored, so unset flags fall through).

    Raises:
        SettingsError: a value does not fit; the message names the setting and the reason.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"FLAWSIGHT_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        )
        raise SettingsError(f"A setting cannot be used: {problems}.") from None
