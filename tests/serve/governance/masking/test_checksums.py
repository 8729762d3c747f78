"""Checksums, on numbers that the standards and their issuers publish as examples."""

from __future__ import annotations

import pytest

from serve.governance.masking import checksums


def test_identity_numbers() -> None:
    assert checksums.is_id_card("11010519491231002X")  # the example of GB 11643
    assert not checksums.is_id_card("110105194912310021")
    assert not checksums.is_id_card("99010519491231002X")  # no such province
    assert not checksums.is_id_card("11010519490231002X")  # no such day
    assert checksums.is_old_id_card("110105491231002")
    assert not checksums.is_old_id_card("110105491331002")


def test_credit_codes() -> None:
    assert checksums.is_credit_code("91350100M000100Y43")  # the example of GB 32100
    assert not checksums.is_credit_code("91350100M000100Y44")
    assert not checksums.is_credit_code("91350100I000100Y43")  # I is not in its alphabet


@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "6200000000000005"])
def test_cards(number: str) -> None:
    assert checksums.is_luhn(number)
    assert not checksums.is_luhn(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize("number", ["GB82WEST12345698765432", "DE89370400440532013000"])
def test_ibans(number: str) -> None:
    assert checksums.is_iban(number)
    assert not checksums.is_iban(number[:-1] + "9")
    assert not checksums.is_iban(number + "0")
