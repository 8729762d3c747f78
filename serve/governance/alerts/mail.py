"""Mail: an alert as a short text, by a relay of the site's own.

The relay is pinned as the webhook's host is. Nothing is encrypted on the way to it: the text has
numbers and ids only, and the relay is on this machine or in a private network.
"""

from __future__ import annotations

import asyncio
import json
import smtplib
import socket
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.pinning import AddressRefused, PinnedHost
from serve.storage.alert_outbox import Outgoing


class Mail:
    """Sends alerts to a list of people.

    Args:
        relay: an SMTP server.
        sender: the address that stands in From.
        recipients: addresses.
        timeout_s: seconds that each step of the conversation with the relay may take.
    """

    def __init__(
        self,
        relay: PinnedHost,
        *,
        sender: str,
        recipients: Sequence[str],
        timeout_s: float,
    ) -> None:
        self.timeout_s = timeout_s
        self._relay = relay
        self._sender = sender
        self._recipients = tuple(recipients)

    async def send(self, outgoing: Outgoing) -> None:
        """Hand an alert to the relay. Raises DeliveryError unless it takes it for somebody."""
        message = self._message(outgoing)
        try:
            address = await self._relay.address()
            await asyncio.to_thread(self._hand_over, address, message)
        except AddressRefused as error:
            raise DeliveryError(str(error)) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"the relay did not take it ({type(error).__name__})") from None

    def _hand_over(self, address: str, message: EmailMessage) -> None:
        # A name of its own for itself, or smtplib asks a name server for one.
        name = socket.gethostname() or "localhost"
        with smtplib.SMTP(
            address, self._relay.port, local_hostname=name, timeout=self.timeout_s
        ) as relay:
            relay.send_message(message, self._sender, list(self._recipients))

    def _message(self, outgoing: Outgoing) -> EmailMessage:
        fields: dict[str, Any] = json.loads(outgoing.payload)
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Date"] = formatdate(outgoing.created_at_ms / 1000)
        message["Message-ID"] = f"<{outgoing.alert_id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message["Subject"] = (
            f"{fields.get('threshold_percent')} % of a budget is used: {fields.get('account')}"
        )
        message.set_content("".join(f"{name}: {value}\n" for name, value in fields.items()))
        return message
