"""The page's files over HTTP: public, cached by their tags, under a strict policy; no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve.api.pages import site
from tests.house.tree import ROOT
from tests.serve.api.house import House, house

FOLDER = Path(site.__file__).parent
SOURCES = sorted(path for path in FOLDER.iterdir() if path.suffix in {".html", ".css", ".js"})


def test_the_table_is_what_lies_there() -> None:
    named = {name for name, _ in site.FILES.values()}
    assert named == {path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ""}}


async def test_each_file_is_served_to_anybody(locked: tuple[House, str]) -> None:
    home, _ = locked
    async with home.client() as client:
        for path, (name, media_type) in site.FILES.items():
            response = await client.get(path, headers={"host": "serve.example"})
            assert response.status_code == 200
            assert response.content == (FOLDER / name).read_bytes()
            headers = response.headers
            assert headers["content-type"] == media_type
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["content-security-policy"] == site.CONTENT_POLICY
            assert headers.get_list("cache-control") == ["no-cache"]
            head = await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(response.content))
    assert home.records.last.key_id is None


def test_the_policy_lets_nothing_in_and_nothing_out() -> None:
    rules = dict(rule.split(" ", 1) for rule in site.CONTENT_POLICY.split("; "))
    assert rules.pop("img-src") == "'self' data:"
    own = {name for name, value in rules.items() if value == "'self'"}
    assert own == {"script-src", "style-src", "connect-src"}
    none = {name for name, value in rules.items() if value == "'none'"}
    assert none == {"default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"}


async def test_what_a_browser_has_is_not_sent_again() -> None:
    async with house().client() as client:
        first = await client.get("/")
        tag = first.headers["etag"]
        assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
        for asked in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await client.get("/", headers={"if-none-match": asked})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == "no-cache"
            assert "content-length" not in again.headers
        for asked in ('"x"', tag.strip('"'), ""):
            assert (await client.get("/", headers={"if-none-match": asked})).status_code == 200
        tags = [(await client.get(path)).headers["etag"] for path in site.FILES]
    assert len(set(tags)) == len({name for name, _ in site.FILES.values()})


@pytest.mark.parametrize(
    "path",
    [
        *("/pages", "/pages/", "/pages/site.py", "/pages/../site.py", "/pages/page.html"),
        *("/pages/%2e%2e/app.py", "/pages/..%2fapp.py", "/pages//app.js", "/pages/app.js/"),
        *("/pages/APP.JS", "/pages/app.js%00", "/docs/", "/index.html", "/favicon.ico"),
    ],
)
async def test_no_other_name_is_looked_up(locked: tuple[House, str], path: str) -> None:
    home, key = locked
    async with home.client() as client:
        assert (await client.get(path)).status_code == 401
        known = await client.get(path, headers={"authorization": f"Bearer {key}"})
    assert known.status_code == 404


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    async with house(playground=False).client() as client:
        for path in site.FILES:
            assert (await client.get(path)).status_code == 404


async def test_it_opens_nothing_to_another_origin() -> None:
    async with house(allowed_origins=("https://a.example",)).client() as client:
        other = await client.get("/", headers={"origin": "https://b.example"})
        model = await client.get("/v1/models", headers={"host": "rebound.example"})
    assert "access-control-allow-origin" not in other.headers
    assert other.headers["cross-origin-resource-policy"] == "same-origin"
    assert model.status_code == 403, "a page under another name learns nothing"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_file_names_another_host_or_an_unsafe_way(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"https?://\w", text) == []
    unsafe = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|"
        r"localStorage|sessionStorage|indexedDB|document\.cookie|\.style\b|setTimeout\(\s*[\"'`]"
    )
    assert re.findall(unsafe, text) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=\"", text) == []
    assert len(text.splitlines()) <= 300


def test_the_parts_are_quiet_in_the_log() -> None:
    from serve.observe.record import PARTS

    assert {path for path in site.FILES if not path.startswith(PARTS)} == {"/", "/docs"}


def test_the_guides_that_it_names_are_there() -> None:
    script = (FOLDER / "reference.js").read_text("utf-8")
    names = [line.split('"')[1] for line in script.splitlines() if line.startswith('  ["')]
    assert len(names) >= 6
    assert [name for name in names if not (ROOT / name).is_file()] == []


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_is_told_from_its_ground_in_both_colours() -> None:
    css = (FOLDER / "page.css").read_text("utf-8")
    schemes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", part)) for part in css.split("@media")
    ]
    light, dark = schemes[0], schemes[1]
    assert light.keys() == dark.keys()
    pairs = [
        (text, ground) for text in ("text", "soft", "accent") for ground in ("ground", "raised")
    ]
    pairs += [("text", "mine"), ("on-accent", "accent"), ("bad", "bad-ground"), ("bad", "raised")]
    for colours in (light, {**light, **dark}):
        for text, ground in pairs:
            one, other = sorted((_luminance(colours[text]), _luminance(colours[ground])))
            assert (other + 0.05) / (one + 0.05) >= 4.5, (text, ground)


def test_the_files_are_part_of_the_package() -> None:
    patterns = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '"serve.api.pages" = ["*.html", "*.css", "*.js", "*.svg"]' in patterns
