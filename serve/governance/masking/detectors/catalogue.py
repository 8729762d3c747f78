"""The detectors that the product has, by the names that a masking file uses.

Where two find something at one place, the first in this order has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from serve.governance.masking.detector import Detector
from serve.governance.masking.detectors import accounts, contact, identity, network, secrets

DETECTORS: Mapping[str, tuple[Detector, ...]] = MappingProxyType(
    {
        "private_key": (secrets.PRIVATE_KEY,),
        "jwt": (secrets.JWT,),
        "bearer": (secrets.BEARER,),
        "api_key": (secrets.API_KEY,),
        "password": (secrets.PASSWORD, secrets.LOGIN),
        "email": (contact.EMAIL,),
        "id_card": (identity.ID_CARD, identity.OLD_ID_CARD),
        "credit_code": (identity.CREDIT_CODE,),
        "bank_card": (accounts.BANK_CARD,),
        "iban": (accounts.IBAN,),
        "mobile_phone": (contact.MOBILE,),
        "landline": (contact.LANDLINE,),
        "phone_abroad": (contact.ABROAD,),
        "passport": (identity.PASSPORT,),
        "plate": (identity.PLATE,),
        "us_ssn": (identity.SSN,),
        "ip": (network.PUBLIC,),
        "ip_private": (network.PRIVATE,),
    }
)
SECRETS = ("private_key", "jwt", "bearer", "api_key", "password")
ADDRESSES = ("ip", "ip_private")
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "personal": tuple(name for name in DETECTORS if name not in (*SECRETS, *ADDRESSES)),
        "secrets": SECRETS,
        "addresses": ADDRESSES,
    }
)
"""Names for several detectors together."""
