"""Kinds of files that settings name: secrets, rules and folders. A setting of a path is in one.

What is told of them elsewhere follows from it: of rules a digest, of secrets not even that.
"""

from __future__ import annotations

from typing import Final

SECRET_FILES: Final = frozenset(
    {
        "audit_content_key_file",
        "audit_key_file",
        "cache_url_file",
        "database_url_file",
        "feedback_key_file",
        "key_pepper_file",
        "prefix_cache_key_file",
        "response_cache_key_file",
        "ssl_keyfile",
    }
)
"""Settings that name a file of secrets."""
RULE_FILES: Final = frozenset(
    {
        "alerts_file",
        "api_key_file",
        "audit_holds_file",
        "audit_witness_file",
        "client_cert_map",
        "content_filter_file",
        "jwt_file",
        "limits_file",
        "masking_file",
        "presets_file",
        "ssl_ca_certs",
        "ssl_certfile",
    }
)
"""Settings that name a file of rules, of keys' hashes, or of what is public."""
FOLDERS: Final = frozenset(
    {"audit_dir", "data_dir", "prefix_cache_dir", "state_dir", "trusted_keys"}
)
"""Settings that name a folder, or keys that are judged elsewhere."""
