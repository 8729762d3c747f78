"""What each detector finds, and what it leaves alone."""

from __future__ import annotations

import pytest

from serve.governance.masking.detectors.catalogue import DETECTORS, GROUPS
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import masked

SCANNER = Scanner(each for own in DETECTORS.values() for each in own)
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD9\n-----END RSA PRIVATE KEY-----"


def labelled(hit: Hit, _key: str, _value: str) -> str:
    return f"[{hit.detector.label}]"


FOUND = {
    "身份证１１０１０５１９４９１２３１００２Ｘ号": "身份证[ID_CARD]号",
    "110105-19491231-002x": "[ID_CARD]",
    "身份证号码：110105491231002。": "身份证号码：[ID_CARD]。",
    "代码91350100M000100Y43": "代码[CREDIT_CODE]",
    "电话138 0013 8000转1": "电话[PHONE]转1",
    "Tel13800138000": "Tel[PHONE]",
    "(+86)138-0013-8000": "[PHONE]",
    "010-62345678": "[PHONE]",
    "call +49 (30) 1234567-8": "call [PHONE]",
    "卡号6222 0212 3456 7890 128": "卡号[BANK_CARD]",
    "4111-1111-1111-1111": "[BANK_CARD]",
    "护照：E12345678": "护照：[PASSPORT]",
    "京A·12345、粤BD12345": "[PLATE]、[PLATE]",
    "SSN 123-45-6789.": "SSN [SSN].",
    "<a.b+c@mail.example.co.uk>": "<[EMAIL]>",
    "13800138000@qq.com": "[EMAIL]",
    "IBAN GB82 WEST 1234 5698 7654 32": "IBAN [IBAN]",
    "host 8.8.8.8:53, 2001:4860:4860::8888": "host [IP]:53, [IP]",
    "at 192.168.1.1 or fe80::1": "at [IP] or [IP]",
    "sk-0123456789abcdef.ABCDEFGH0123": "[API_KEY]",
    "AKIAIOSFODNN7EXAMPLE": "[API_KEY]",
    "Authorization: Bearer abcdef0123456789": "Authorization: Bearer [TOKEN]",
    '{"password": "hunter2!"}': '{"password": "[PASSWORD]"}',
    "export DB_PASSWORD=hunter22": "export DB_PASSWORD=[PASSWORD]",
    "密码是abc12345": "密码是[PASSWORD]",
    "postgres://app:s3cret@db/x": "postgres://app:[PASSWORD]@db/x",
    f"a\n{KEY}\nb": "a\n[PRIVATE_KEY]\nb",
    KEY.replace("\n", "\\n"): "[PRIVATE_KEY]",
}
LEFT_ALONE = (
    "110105194912310021",  # another check digit
    "11010549123100200",
    "编号110105491231002",  # 15 digits that nothing announces
    "order 12800138000, 1380013800, 138001380001, 13.800138000",
    "4111111111111112",
    "E12345678",
    "git@github.com:a/b.git, a@b, react@18.2.0",
    "v1.2.3.4, 版本 1.2.3.4, Chrome/120.0.0.0, 1.2.3.4.5, 999.1.1.1, 12:30:45, std::dec",
    "000-12-3456, 123-45-67890",
    "the token is stolen; password: str; bearer of good news, sk-learn",
    "password = os.environ['X1'], token=$TOKEN1, secret: {{ a1 }}",
    "550e8400-e29b-41d4-a716-446655440000",
    "::, 0x1F, 1e9, 1,234,567.89",
)


@pytest.mark.parametrize("text", FOUND)
def test_found(text: str) -> None:
    assert masked(text, SCANNER, labelled) == FOUND[text]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_left_alone(text: str) -> None:
    assert masked(text, SCANNER, labelled) == text


def test_groups_are_all_detectors() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(DETECTORS)
