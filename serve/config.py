"""Every setting of the server, declared once.

Flags, environment names, the config file's keys, ``--help`` and docs/config.md all come from the
fields of the sections (config_sections/). vLLM's flag names are used where the meaning is equal.
config_sources.py reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, field_validator, model_validator

from models import home
from models.errors import HomelessError
from models.rules import names
from serve import config_checks
from serve.config_sections.alerts import AlertsSection
from serve.config_sections.audit import AuditSection
from serve.config_sections.audit_witness import AuditWitnessSection
from serve.config_sections.capacity import CapacitySection
from serve.config_sections.feedback import FeedbackSection
from serve.config_sections.identity import IdentitySection
from serve.config_sections.integrity import IntegritySection
from serve.config_sections.limits import LimitsSection
from serve.config_sections.listening import ListeningSection
from serve.config_sections.masking import MaskingSection
from serve.config_sections.response_cache import ResponseCacheSection
from serve.config_sections.screens import ScreensSection
from serve.config_sections.served_model import ServedModelSection
from serve.config_sections.storage import StorageSection
from serve.config_sections.stores import StoresSection
from serve.config_sections.tls import TlsSection
from serve.config_sections.transformers import TransformersSection
from serve.config_sections.vllm import VllmSection
from serve.setting_names import flag_of

_PATHS = (
    "trusted_keys",
    "api_key_file",
    "key_pepper_file",
    "jwt_file",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_ca_certs",
    "client_cert_map",
    "limits_file",
    "masking_file",
    "alerts_file",
    "audit_dir",
    "audit_key_file",
    "audit_content_key_file",
    "audit_witness_file",
    "audit_holds_file",
    "content_filter_file",
    "presets_file",
    "database_url_file",
    "cache_url_file",
    "data_dir",
    "state_dir",
    "prefix_cache_dir",
    "prefix_cache_key_file",
    "response_cache_key_file",
    "feedback_key_file",
)


class Config(
    StorageSection,
    StoresSection,
    AuditWitnessSection,
    AuditSection,
    ResponseCacheSection,
    FeedbackSection,
    AlertsSection,
    ScreensSection,
    LimitsSection,
    MaskingSection,
    IdentitySection,
    TlsSection,
    ListeningSection,
    IntegritySection,
    VllmSection,
    TransformersSection,
    CapacitySection,
    ServedModelSection,
):
    """The settings of one server process. Immutable.

    Fields come in the order of --help: the last section's first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("model", "served_model_name", "lora", *_PATHS)
    @classmethod
    def _are_shown_on_a_line(cls, value: Any) -> Any:
        for text in map(str, value if isinstance(value, tuple) else (value,)):
            if not names.is_one_line(text):
                raise ValueError("it has a control character in it: rename what it names")
        return value

    @field_validator(*_PATHS, mode="before")
    @classmethod
    def _are_not_empty(cls, value: Any) -> Any:
        return config_checks.not_empty(value)

    @field_validator(*_PATHS)
    @classmethod
    def _are_whole_paths(cls, path: Path | None) -> Path | None:
        """A shell puts the home directory in place of ``~``; a file of settings has no shell."""
        try:
            return None if path is None else home.expanded(path)
        except HomelessError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        bounds = {flag_of(name): getattr(self, name) for name in ("max_loras", "max_lora_rank")}
        config_checks.check_adapters(self.lora, self.model_names, bounds)
        config_checks.check_signatures(
            self.trusted_keys,
            is_required=self.require_signature,
            is_verified=self.verify != "off",
            has_adapters=bool(self.lora),
        )
        config_checks.check_prefix_store(
            self.prefix_cache_dir,
            {
                flag_of(name): getattr(self, name) != type(self).model_fields[name].default
                for name in ("prefix_cache_key_file", "prefix_cache_file_bytes")
            },
            is_cached=self.enable_prefix_caching,
            is_verified=self.verify != "off",
        )
        config_checks.check_lookup(self.num_speculative_tokens, is_on=self.prompt_lookup)
        config_checks.check_step(self.max_num_batched_tokens, self.max_num_seqs)
        return self

    @model_validator(mode="after")
    def _govern_together(self) -> Self:
        config_checks.check_keys(
            self.api_key_file,
            in_database=self.api_keys == "database",
            has_pepper=self.key_pepper_file is not None,
        )
        config_checks.check_cache(
            is_given=self.cache_url_file is not None,
            counts=self.keeps_ledger,
            keeps_answers=self.response_cache == "shared",
        )
        config_checks.check_response_cache(
            self.response_cache,
            {
                flag_of(name): getattr(self, name) != type(self).model_fields[name].default
                for name in (
                    "response_cache_bytes",
                    "response_cache_entries",
                    "response_cache_max_age_s",
                )
            },
            has_server=self.cache_url_file is not None,
            has_key=self.response_cache_key_file is not None,
        )
        config_checks.check_feedback(
            has_key=self.feedback_key_file is not None, has_ledger=self.keeps_ledger
        )
        config_checks.check_tls(
            {
                flag_of(name): getattr(self, name) is not None
                for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs", "client_cert_map")
            },
            cert_reqs=self.ssl_cert_reqs,
            is_behind_proxy=self.behind_proxy,
        )
        config_checks.check_audit(
            self.audit_dir,
            {
                flag_of(name): getattr(self, name) != field.default
                for section in (AuditSection, AuditWitnessSection)
                for name, field in section.model_fields.items()
                if name not in ("audit_dir", "audit_holds_file")
            },
            needs_key=self.audit_level
            if self.audit_level in ("hashed", "full") and self.audit_content_key_file is None
            else None,
            name=self.audit_name,
            is_strict_of_nothing=self.audit_strict and self.audit_level == "none",
        )
        return self

    @property
    def keeps_ledger(self) -> bool:
        """Whether usage is written down, in a database."""
        return (
            self.usage_ledger
            or self.api_keys == "database"
            or bool(self.database_url_file or self.limits_file)
        )

    @property
    def signature_keys(self) -> Path | None:
        """Files of trusted keys, if a signature is required."""
        if not self.require_signature:
            return None
        return self.trusted_keys or self.data_dir / "trusted-keys"

    @property
    def client_certificate_mode(self) -> int:
        """``ssl_cert_reqs``, or its default: they must where there are authorities for them."""
        if self.ssl_cert_reqs is not None:
            return self.ssl_cert_reqs
        return 0 if self.ssl_ca_certs is None else 2
