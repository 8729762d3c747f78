"""Secrets: keys of well-known forms, tokens, private keys, and passwords that a word announces."""

from __future__ import annotations

import re

import re2

from serve.governance.masking.detector import Found, PatternDetector, whole
from serve.governance.masking.detectors.forms import ALONE

_BODY = r"A-Za-z0-9+/=\s\\:,\-"
_NEW_RUN = r"(?<![0-9A-Za-z_.\-].)"
"""As ALONE; a run of such tokens begins once, or each of them would be read to the run's end."""
_ANOTHER = "(?!-----BEGIN)"
_NAMED = r"(?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_FORBIDDEN = r"\s\"'<>,;}\]\u3000-\u9fff"
_LOCK = r"(?:(?:[Pp](?<![0-9A-Za-z].)|P(?<=[a-z].))(?i:assword|asswd|assphrase|wd)|密码|口令)"
_KEY = (
    r"(?:(?:[Ss](?<![0-9A-Za-z].)|S(?<=[a-z].))(?i:ecret(?:[_\-]?(?:access[_\-]?)?key)?)"
    r"|(?:[Tt](?<![0-9A-Za-z].)|T(?<=[a-z].))(?i:oken)|密钥"
    r"|(?:[Aa](?<![0-9A-Za-z].)|A(?<=[a-z].))"
    r"(?i:pi[_\-]?key|ccess[_\-]?(?:key|token)|uth[_\-]?token))"
)
_WORD = rf"(?:{_LOCK}|{_KEY})"
_IS = r"[\"'\n]?[ ]{0,3}(?:[:=]>?|是|为)[ ]{0,3}[\"'\n]?"
_DIGIT = re.compile("[0-9]")
_HAS_LETTER = re.compile(r"[^0-9.,:/\-]")
_IS_WORD = re.compile(_LOCK)
_CODE = re.compile(r"[$%{<]|.*[({]|(?:os|process|self|config|settings|env)\.", re.DOTALL)


def _mixed(text: str, match: re.Match[str]) -> Found | None:
    """A secret has a letter and a digit: a word of a language has no digit."""
    value = match["value"] if "value" in match.re.groupindex else match[0]
    has_both = _DIGIT.search(value) is not None and any(map(str.isalpha, value))
    return whole(text, match) if has_both else None


def _password(_text: str, match: re.Match[str]) -> Found | None:
    value = match["value"]
    if _DIGIT.search(value) is None or _CODE.match(value):
        return None
    if not _HAS_LETTER.search(value) and not _IS_WORD.match(match[0]):
        return None
    return Found(*match.span(), *match.span("value"))


API_KEY = PatternDetector(
    name="api_key",
    label="API_KEY",
    pattern=re.compile(
        rf"(?:s{ALONE}k-[A-Za-z0-9_.\-]{{15,255}}[A-Za-z0-9_]"
        rf"|A{ALONE}(?:KIA|SIA|ROA|IDA)[A-Z0-9]{{16}}|A{ALONE}KID[A-Za-z0-9]{{32}}"
        rf"|A{ALONE}Iza[A-Za-z0-9_\-]{{35}}|L{ALONE}TAI[A-Za-z0-9]{{12,26}}"
        rf"|g{ALONE}h[pousr]_[A-Za-z0-9]{{36,255}}|g{ALONE}ithub_pat_[A-Za-z0-9_]{{22,255}}"
        rf"|g{ALONE}lpat-[A-Za-z0-9_\-]{{20,64}}|x{ALONE}ox[abeoprs]-[A-Za-z0-9\-]{{10,255}}"
        rf"|h{ALONE}f_[A-Za-z0-9]{{30,64}}|[sr]{ALONE}k_(?:live|test)_[A-Za-z0-9]{{16,128}})"
        r"(?![A-Za-z0-9])"
    ),
    tail=re.compile(rf"[sALgxhr]{ALONE}[A-Za-z0-9_.\-]*\Z"),
    reach=275,
    check=_mixed,
    spelling="exact",
    gate=re2.compile(
        r"sk-|A[KSRI][IODA]|AIza|LTAI|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|hf_|k_(?:live|test)_"
    ),
)
JWT = PatternDetector(
    name="jwt",
    label="JWT",
    pattern=re.compile(
        rf"e{_NEW_RUN}yJ[A-Za-z0-9_\-]{{8,2000}}\.eyJ[A-Za-z0-9_\-]{{8,4000}}"
        r"(?:\.[A-Za-z0-9_\-]{4,1500})?"
    ),
    tail=re.compile(rf"e{_NEW_RUN}(?:y(?:J[A-Za-z0-9_.\-]*)?)?\Z"),
    reach=7520,
    spelling="exact",
    needs=("eyJ",),
    has_digit=False,
)
BEARER = PatternDetector(
    name="bearer",
    label="TOKEN",
    pattern=re.compile(rf"[Bb]{ALONE}earer[ ]{{1,4}}(?P<value>[A-Za-z0-9._~+/=\-]{{16,2048}})"),
    tail=re.compile(rf"[Bb]{ALONE}(?:[a-z]{{0,5}}|earer[ ]{{1,4}}[A-Za-z0-9._~+/=\-]*)\Z"),
    reach=2060,
    check=_mixed,
    spelling="exact",
)
PRIVATE_KEY = PatternDetector(
    name="private_key",
    label="PRIVATE_KEY",
    pattern=re.compile(
        rf"-----BEGIN {_NAMED}"
        rf"(?:(?:{_ANOTHER}[{_BODY}]){{0,8000}}?-----END {_NAMED}"
        r"|(?:[ \t]{0,4}(?:\\n|\\r|[\r\n]){0,4}[A-Za-z0-9+/=]{16,128}){0,60})"
    ),
    tail=re.compile(
        rf"-(?:[A-Z0-9 \-]{{0,80}}|----BEGIN {_NAMED}"
        rf"(?:(?!-----END {_NAMED}){_ANOTHER}[{_BODY}])*)\Z"
    ),
    reach=8600,
    spelling="exact",
    needs=("-----BEGIN",),
    has_digit=False,
)
PASSWORD = PatternDetector(
    name="password",
    label="PASSWORD",
    pattern=re.compile(rf"{_WORD}{_IS}(?P<value>[^{_FORBIDDEN}]{{5,127}}[^{_FORBIDDEN})])"),
    tail=re.compile(
        rf"{_WORD}{_IS}[^{_FORBIDDEN}]*\Z|{_WORD}[\"'\n]?[ ]{{0,3}}(?:[:=]>?)?[ ]{{0,3}}\Z"
        r"|[PpSsTtAa][A-Za-z_\-]{0,20}\Z|[密口]\Z"
    ),
    reach=180,
    check=_password,
    spelling="exact",
    gate=re2.compile(
        r"(?i)assword|asswd|assphrase|pwd|密码|口令|secret|token|密钥|api[_\-]?key|access[_\-]?(?:key|token)|auth[_\-]?token"
    ),
)
LOGIN = PatternDetector(
    name="password_in_url",
    label="PASSWORD",
    pattern=re.compile(r"://[^\s/:@]{1,64}:(?P<value>[^\s/@]{3,128})@"),
    tail=re.compile(r":(?:/(?:/[^\s/@]*)?)?\Z"),
    reach=202,
    needs=("://",),
    spelling="exact",
    has_digit=False,
)
