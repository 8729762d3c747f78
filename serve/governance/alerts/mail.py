"""Mail: an alert as a short text, by a relay of the site's own.

The relay is pinned as the webhook's host is. Nothing is encrypted on the way to it: the text has
numbers and ids only, and the relay is on this machine or in a private network.
"""

from __future__ import annotations

import asyncio
import contextlib
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
        timeout_s: seconds that the conversation with the relay may take.
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
        # A name of its own for itself, or smtplib asks a name server for one.
        name = socket.gethostname() or "localhost"
        client = smtplib.SMTP(local_hostname=name, timeout=self.timeout_s)  # connects later
        try:
            async with asyncio.timeout(self.timeout_s):
                address = await self._relay.address()
                await asyncio.to_thread(self._hand_over, client, address, message)
        except TimeoutError:
            raise DeliveryError(f"the relay did not take it within {self.timeout_s:g} s") from None
        except AddressRefused as error:
            raise DeliveryError(str(error)) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"the relay did not take it ({type(error).__name__})") from None
        finally:
            _wake(client)

    def _hand_over(self, client: smtplib.SMTP, address: str, message: EmailMessage) -> None:
        client.connect(address, self._relay.port)
        with client:
            client.send_message(message, self._sender, list(self._recipients))

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


def _wake(client: smtplib.SMTP) -> None:
    """End the connection, so that a thread which still waits for the relay ends, too."""
    connection: socket.socket | None = client.sock
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
