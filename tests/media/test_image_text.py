"""What people and models give as an image: each form is read for what it means, in linear time."""

import base64
import json
import sys
import textwrap
import tracemalloc
from contextlib import suppress
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.core.images import ImageId
from journey_mcp.media.image_text import (
    MAX_PATH,
    Data,
    FilePath,
    Unusable,
    WebAddress,
    WholeTask,
    decode,
    parse,
)
from journey_mcp.media.image_urls import MAX_URL
from journey_mcp.tools.image_arguments import image_texts, single_image

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 2
BEGINNINGS = {
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "jpeg": b"\xff\xd8\xff\xdb\0C",
    "webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "gif": b"GIF89a\1\0\1\0\0\0\0",
    "bmp": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0",
    "tiff": b"II*\0\x08\0\0\0\0\0\0\0",
    "avif": b"\0\0\0\x20ftypavif\0\0\0\0",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0",
}
B64 = base64.b64encode(JPEG).decode()
SAFE = base64.urlsafe_b64encode(JPEG).decode()
assert set("+/") <= set(B64)
ID = "tsk_AAAAAAAAAAAAAAAAAAAAAA.2"
URL = "https://example.com/cat.png"


@pytest.mark.parametrize("text", [ID, f" {ID}\n", f'"{ID}"', f"`{ID}`", f"<{ID}>", f"[{ID}]", f'["{ID}"]', f"{ID}\\n"])
def test_an_id_is_parsed_with_anything_around_it(text: str) -> None:
    """It comes first."""
    assert parse(text) == ImageId("tsk_AAAAAAAAAAAAAAAAAAAAAA", 2)


@pytest.mark.parametrize(
    "text",
    [
        *(f"the image {ID}", f"id: {ID}", f"@{ID}", f"journey://{ID}", f"images/{ID}", f"{ID}.", f"{ID}?"),
        *(ID.replace("tsk_", "TSK_"), ID.replace(".", "#"), ID.replace(".", " . "), ID.replace(".", ".0")),
    ],
)
def test_an_id_in_a_short_text_is_parsed(text: str) -> None:
    """With the words of a person around it, or put together otherwise."""
    assert parse(text) == ImageId("tsk_AAAAAAAAAAAAAAAAAAAAAA", 2)


@pytest.mark.parametrize(
    "text", [ID[:-2], f"task {ID[:-2]}", f"{ID[:-2]}.first", f"{ID[:-2]}.images[0]", f"{ID[:-2]}.0"]
)
def test_the_id_of_a_task_may_mean_its_image(text: str) -> None:
    """The number of its images is known elsewhere."""
    assert parse(text) == WholeTask(ID[:-2])


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/jpeg;base64,{B64}",
        f"base64 {B64}",
        f"base64://{B64}",
        f"```base64\n{B64}\n```",
        f"url(data:image/jpeg;base64,{B64})",
        f"url('data:image/jpeg;base64,{B64}')",
        f"Image: data:image/jpeg;base64,{B64}",
        f"data:image/jpeg;base64,{B64[:99]}\u200b{B64[99:]}",
        f"{B64[:99]}\ufeff{B64[99:]}",
        f"data:image/jpeg;base64,{B64.replace('+', '&#43;').replace('/', '&#x2F;').replace('=', '&#x3D;')}",
        B64.replace("+", "&#x2B;").replace("/", "&#47;").replace("=", "&#61;"),
        f"DATA:IMAGE/JPEG;BASE64,{B64}",
        f"data:image/png;base64,{SAFE}",
        f"data:image/png;base64,{B64.rstrip('=')}",
        f"data:image/png;base64,{SAFE.rstrip('=')}",
        f"data:image/png;base64,{quote(B64, safe='')}",
        quote(f"data:image/png;base64,{B64}", safe=""),
        f"data:image/jpeg; base64, {B64}",
        f"data : image/jpeg ; base64 , {B64}",
        f"data:image/jpeg;name=a.jpg;charset=utf-8;base64,{B64}",
        f"data:image/jpeg;base64,data:image/jpeg;base64,{B64}",
        f"data:;base64,{B64}",
        f"data:image/jpeg,{B64}",
        f"data:image/jpeg;base64\n{B64}",
        f"image/jpeg;base64,{B64}",
        f";base64,{B64}",
        f"base64,{B64}",
        f"base64:{B64}",
        B64,
        B64.rstrip("="),
        SAFE,
        SAFE.rstrip("="),
        quote(B64, safe=""),
        B64.replace("+", " "),
        "\n".join(textwrap.wrap(B64, 76)),
        "\r\n".join(textwrap.wrap(B64, 64)) + "\r\n",
        " ".join(textwrap.wrap(B64, 76)),
        "\\n".join(textwrap.wrap(B64, 76)) + "\\n",
        f' "data:image/jpeg;base64,{B64}" ',
        f"'{B64}'",
        f"“{B64}”",
        f"```\n{B64}\n```",
        f"<{B64}>",
        f"![cat](data:image/jpeg;base64,{B64})",
        json.dumps([B64]),
        B64.replace("/", "\\/"),
        f"data:image\\/jpeg;base64,{B64.replace('/', chr(92) + '/').replace('=', chr(92) + 'u003d')}",
        f"b'{B64}'",
        f"data:image/jpeg;base64,b'{B64}'",
        f'data:image/jpeg;base64,"{B64}"',
        f'<img alt="" src="data:image/jpeg;base64,{B64}">',
    ],
)
def test_data_is_decoded_however_it_is_written(text: str) -> None:
    """With and without prefix, in both alphabets, broken, encoded, quoted."""
    found = parse(text)
    assert isinstance(found, Data)
    assert decode(found) == JPEG


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_base64_is_known_by_the_beginning_of_an_image(kind: str) -> None:
    """Also where it could be a path, as `/9j/` of a JPEG."""
    content = BEGINNINGS[kind] + bytes(40)
    for text in (base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode().rstrip("=")):
        found = parse(text)
        assert isinstance(found, Data)
        assert decode(found) == content


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ("====!", "'=' is not a base64 character"),
        ("AAAA!AAA", "'!' is not a base64 character"),
        ("AAAé", "'é' is not a base64 character"),
        (f"{B64[:40]}…", "'…' is not a base64 character"),
        (f"{B64[:40]}...", "'.' is not a base64 character"),
        ("AAAAA", "it is cut off after 5 characters"),
        ("AA=AAAAA", "'=' is not a base64 character"),
        ("\ud800AAA", "is not a base64 character"),
    ],
)
def test_the_error_of_base64_names_the_cause(payload: str, says: str) -> None:
    """By the character."""
    with pytest.raises(ValueError, match=says):
        decode(Data(payload))


def test_truncated_data_is_data() -> None:
    """And not a path that does not exist."""
    assert isinstance(parse("/9j/4AAQSkZJRgABAQ..."), Data)
    assert isinstance(parse("iVBORw0KGgoAAAANSUhEUg…"), Data)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (URL, URL),
        (f"<{URL}>", URL),
        (f"![cat]({URL})", URL),
        (f"[cat]({URL})", URL),
        (f'![cat]({URL} "A cat")', URL),
        (f"![cat](<{URL}>)", URL),
        (f"![]({URL})", URL),
        (f"[![cat]({URL})](https://example.com/page)", URL),
        (f"Here it is: ![cat]({URL}) as you wished.", URL),
        (f'["{URL}"]', URL),
        (f"['{URL}']", URL),
        (f"[{URL}]", URL),
        (f"({URL})", URL),
        (f'"{URL}"', URL),
        (f"'{URL}'", URL),
        (f"`{URL}`", URL),
        (f"“{URL}”", URL),
        (f"\ufeff{URL}\u200b", URL),
        (f"{URL}\\n", URL),
        (f"{URL},", URL),
        (f"{URL}.", URL),
        (f"{URL}>", URL),
        (f"{URL})", URL),
        (f"<{URL}", URL),
        (f"({URL}", URL),
        (f'<img src="{URL}" alt="cat">', URL),
        (f"<img src={URL}>", URL),
        (f"<url>{URL}</url>", URL),
        ("HTTPS://Example.com/A.PNG", "https://example.com/A.PNG"),
        ("Http://User:Pass@EXAMPLE.com:80/A?B=C#D", "http://User:Pass@example.com:80/A?B=C#D"),
        ("https:/example.com/cat.png", URL),
        ("https:\\/\\/example.com\\/cat.png", URL),
        ("https%3A%2F%2Fexample.com%2Fcat.png", URL),
        ("https://example.com/a\n  b.png", "https://example.com/ab.png"),
        ("https://example.com/my cat.png", "https://example.com/my%20cat.png"),
        ("https://example.com/cat.png?a=1&amp;b=2", "https://example.com/cat.png?a=1&b=2"),
        ("![c](https://e.org/Cat_(1).jpg)", "https://e.org/Cat_(1).jpg"),
        ("https://e.org/w_200,h_300/cat.png", "https://e.org/w_200,h_300/cat.png"),
        *((f"{URL}{end}", URL) for end in ("!", "?", "]", "}", ").", "。", "）", "**")),
        *((f"{mark}{URL}{mark}", URL) for mark in ("**", "*", "_", "~~", "__")),
        *((f"{start}{URL}{end}", URL) for start, end in ("「」", "『』", "（）", "【】", "《》", "{}")),
        (f"url({URL})", URL),
        (f"url('{URL}')", URL),
        *(
            (f"{label}{URL}", URL)
            for label in ("URL: ", "image_url=", "Image URL: ", "src=", "- ", "> ", "1. ", "@", "#")
        ),
        (f"Here is the image: {URL}", URL),
        (f"the cat at {URL}", URL),
        (f"see {URL}.", URL),
        (f"view-source:{URL}", URL),
        (f"file://{URL}", URL),
        (f"![cat][1]\n\n[1]: {URL}", URL),
        (f'<a href="{URL}">cat</a>', URL),
        (f"<image href='{URL}'/>", URL),
        (f'<a href="https://example.com/page"><img src="{URL}"></a>', URL),
        (f'<picture><source srcset="{URL} 2x"><img src="{URL}"></picture>', URL),
        ("https//example.com/cat.png", URL),
        ("https:example.com/cat.png", URL),
        ("https : // example.com/cat.png", URL),
        (f"https://{URL}", URL),
        (f"http://{URL}", URL),
        ("https://exa\u200bmple.com/cat\u00ad.png", URL),
        ("https://example.com/cat.png?a=1&#38;b=2", "https://example.com/cat.png?a=1&b=2"),
        ("https://example.com/a|b^c.png", "https://example.com/a|b^c.png"),
        ("https://münchen.de/bild.png", "https://xn--mnchen-3ya.de/bild.png"),
        ("https://example.com/猫.png?q=値", "https://example.com/%E7%8C%AB.png?q=%E5%80%A4"),
        ("https://ｅｘａｍｐｌｅ。com/cat.png", URL),
        ("https://[2606:4700::1111]/cat.png", "https://[2606:4700::1111]/cat.png"),
        ("https://example.com./cat.png", "https://example.com./cat.png"),
    ],
)
def test_a_url_is_read_however_it_is_wrapped(text: str, url: str) -> None:
    """Scheme and host in lower case, the rest unchanged."""
    assert parse(text) == WebAddress(url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("www.example.com/cat.png", "https://www.example.com/cat.png"),
        ("WWW.Example.com/Cat.png", "https://www.example.com/Cat.png"),
        ("<www.example.com/cat.png>", "https://www.example.com/cat.png"),
        ("[cat](www.example.com/cat.png)", "https://www.example.com/cat.png"),
        ("www.example.photos", "https://www.example.photos"),
        ("example.com/cat.png", "https://example.com/cat.png"),
        ("i.example.de:8443/cat?x=1", "https://i.example.de:8443/cat?x=1"),
        ("//example.com/cat.png", "https://example.com/cat.png"),
        ("://example.com/cat.png", "https://example.com/cat.png"),
        ("8.8.8.8/cat.png", "https://8.8.8.8/cat.png"),
        ("münchen.de/bild.png", "https://xn--mnchen-3ya.de/bild.png"),
    ],
)
def test_a_url_without_scheme_may_still_be_a_path(text: str, url: str) -> None:
    """Whoever can look decides: a file of that name wins."""
    found = parse(text)
    assert isinstance(found, FilePath)
    assert found.url == url


@pytest.mark.parametrize(
    "text",
    [
        "cat.png",
        "my.photos/cat.png",
        "1.2.3/cat.png",
        "example.com",
        "holidays/cat.png",
        "v1.2/cat.png",
        "./www.example.com/cat.png",
    ],
)
def test_a_path_is_not_taken_for_a_host(text: str) -> None:
    """A paid provider would fetch a URL that was not intended."""
    found = parse(text)
    assert getattr(found, "url", None) is None


@pytest.mark.parametrize(
    "text",
    [
        *("/home/me/a.png", "~/a.png", "./a", "../a", "file:///a", "FILE://localhost/a", "file:/a", "C:\\a.png"),
        *("a.png", "a b.JPEG", "Shot 12:30.gif", "My\\ Pictures/cat\\ 1.jpg", "@plain.jpg", "$HOME/cat", "${HOME}/cat"),
        *("tsk_AAAAAAAAAAAAAAAAAAAAAA.1.png", "@~/a", "/mnt/data/a.png"),
    ],
)
def test_paths_are_paths(text: str) -> None:
    """The text stays as it is: only the disk shows which escapes are meant."""
    assert parse(text) == FilePath((text,))


def test_a_path_in_quotes_or_brackets_may_mean_both() -> None:
    """A file may really have them in its name."""
    assert parse('"/a/b.png"') == FilePath(('"/a/b.png"', "/a/b.png"))
    assert parse("[cat](/a/b c.png)") == FilePath(("[cat](/a/b c.png)", "/a/b c.png"))
    assert parse("image: cat.png") == FilePath(("image: cat.png", "cat.png"))
    assert parse("cat.png.") == FilePath(("cat.png.", "cat.png"))
    assert parse("[Image: source: /a/b.png]") == FilePath(("[Image: source: /a/b.png]", "/a/b.png"))


@pytest.mark.parametrize(
    "text",
    [
        *("sandbox:/mnt/data/cat.png", "attachment://cat.png", "attachment:0", "blob:https://chat.example/1", "cid:1"),
        *("file-service://file-abc", "sediment://file_1", "file-AbCdEf0123456789AbCdEf", "turn0image0"),
        *("[Image #1]", "[Image 1]", "Image #1", "<image>", "<image_1>", "{{image}}", "${image}", "{image}", "image"),
        *("the attached image", "User's uploaded photo", "[attachment]", "this picture", "image_url", "![the image]"),
        *("[sandbox](sandbox:/mnt/data/cat.png)", "SANDBOX:/mnt/data/cat.png", "content://media/1", "about://x"),
        *("<your-image-url>", "webkit-fake-url://1/image.png", "[Pasted image 1]", "@image1"),
    ],
)
def test_images_that_only_the_chat_has_are_recognized(text: str) -> None:
    """It says nothing to anybody else."""
    assert parse(text) is Unusable.IN_CHAT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tsk_1", Unusable.TASK_ID),
        (f"{ID} and {ID[:-1]}3", Unusable.SEVERAL),
        ("https://<host>/cat.png", Unusable.BAD_URL),
        ("https://example.com/{id}.png", Unusable.BAD_URL),
        ("https://example.com/<image>.png", Unusable.BAD_URL),
        ("https://exa mple.com/cat.png", Unusable.BAD_URL),
        ("https://example.com%2Fcat.png", Unusable.BAD_URL),
        ("https://-/é" + "a" * 9000, Unusable.BAD_URL),
        (f"https://example.com/{'é' * 4000}", Unusable.BAD_URL),
        ("https://\U0001f600.example/cat.png", Unusable.BAD_URL),
        ("https://example.com/cat.png?a=1 (the cat)", Unusable.BAD_URL),
        (f"I mean {URL} or https://example.com/b.png", Unusable.SEVERAL),
        ("https://example.com/cat.png (the cat)", Unusable.BAD_URL),
        ("https://example.com/images/a1b2...", Unusable.BAD_URL),
        ("https://example.com/images/…/cat.png", Unusable.BAD_URL),
        ("https://", Unusable.BAD_URL),
        ("https://example.com/\x07", Unusable.BAD_URL),
        ("https://example.com:99999/", Unusable.BAD_URL),
        ("https://example.com/" + "a" * MAX_URL, Unusable.BAD_URL),
        (f"{URL}, https://example.com/b.png", Unusable.SEVERAL),
        (f"['{URL}', 'https://example.com/b.png']", Unusable.SEVERAL),
        ("![a](a.png) ![b](b.png)", Unusable.SEVERAL),
        ("data:image/svg+xml,<svg/>", Unusable.NO_BASE64),
        ("data:,", Unusable.NO_BASE64),
        ("a kite!" * MAX_PATH, Unusable.TOO_LONG),
        ("/a." * MAX_PATH, Unusable.TOO_LONG),
        ("", Unusable.UNKNOWN),
        ("a kite", Unusable.UNKNOWN),
        ("null", Unusable.UNKNOWN),
        ("s3://bucket/a.png", Unusable.UNKNOWN),
        ("picture of a cat", Unusable.UNKNOWN),
        ("<svg xmlns='https://www.w3.org/2000/svg'/>", Unusable.UNKNOWN),
    ],
)
def test_texts_without_an_image_are_distinguished(text: str, reason: Unusable) -> None:
    """Each has its own next step."""
    assert parse(text) is reason


def test_long_base64_is_always_data() -> None:
    """No path is this long: the decoder reports that it is not an image."""
    assert isinstance(parse("x" * (MAX_PATH + 1)), Data)


PIECES = (
    *("data:", "image/png;", "base64,", "![", "](", "[", "]", "<", ">", '"', "'", "\\n", "\\", "%", "%3A", "https://"),
    *("/9j/", "iVBORw0KGgo", "=", " ", "\n", "\0", "\ud800", "…", "www.", ".com/", "a", "-_", ".png", "tsk_", "{", "@"),
    *(
        "file:",
        "~",
        "$HOME",
        "url(",
        "//",
        "Image: ",
        "&#x2F;",
        "\u200b",
        "。",
        "**",
        "<a href=",
        "<img src=",
        "</a>",
        "[Image: source: ",
        "é",
        "\u202f",
        ":",
        ";",
        ",",
    ),
)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200))
def test_every_text_means_something(text: str) -> None:
    """Nothing raises but what says so."""
    found = parse(text)
    assert isinstance(found, ImageId | WholeTask | Data | WebAddress | FilePath | Unusable)
    if isinstance(found, Data):
        with suppress(ValueError):
            decode(found)
    if isinstance(found, WebAddress):
        assert parse(found.url) == found
        assert len(found.url) < 3 * MAX_URL


@given(st.binary(min_size=1, max_size=300), st.sampled_from(sorted(BEGINNINGS)), st.booleans(), st.booleans())
def test_the_image_comes_out_as_it_went_in(rest: bytes, kind: str, is_safe: bool, has_prefix: bool) -> None:
    """Whatever its bytes."""
    content = BEGINNINGS[kind] + rest
    encode = base64.urlsafe_b64encode if is_safe else base64.b64encode
    found = parse(("data:image/png;base64," if has_prefix else "") + encode(content).decode().rstrip("="))
    assert isinstance(found, Data)
    assert decode(found) == content


@given(st.sampled_from(PIECES), st.sampled_from(PIECES))
def test_length_costs_no_steps(piece: str, other: str) -> None:
    """The number of lines that run is bounded: what looks at each character is one call of C."""
    assert _lines(other + piece * 20_000) <= _lines(other + piece * 1000) + 400


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_are_read(piece: str) -> None:
    """Four hundred thousand characters: anything that is not linear would take many minutes."""
    text = piece * (400_000 // len(piece))
    parse(text)
    image_texts(text)
    parse(f"![a]({text})")
    with suppress(ValueError):
        decode(Data(text))


@pytest.mark.parametrize("piece", ["%2B", "%41", "A ", "\\u002b", "A\n", "-", "A%20"])
def test_decoding_takes_little_memory(piece: str) -> None:
    """A few times the text, with any content."""
    data = Data(piece * (2_000_000 // len(piece)))
    tracemalloc.start()
    with suppress(ValueError):
        decode(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 12_000_000


@pytest.mark.parametrize(
    "text", ["[" + "{}," * 10_000 + "{}]", '["' + '","' * 10_000 + '"]', '{"a": [' + "0," * 9999 + "0]}"]
)
def test_json_of_more_values_than_images_is_not_read(text: str) -> None:
    """Each of them would be checked, while no other caller is answered."""
    assert image_texts(text) == [text]
    assert image_texts(json.dumps([f"data:image/png;base64,{B64}"] * 100)) == [f"data:image/png;base64,{B64}"] * 100


def test_a_link_whose_beginning_alone_is_encoded_is_read_whole() -> None:
    """A longer text is decoded in two parts."""
    payload = base64.b64encode(JPEG * 40).decode()
    found = parse(quote(f"data:image/jpeg;base64,{payload}", safe=""))
    assert isinstance(found, Data)
    assert decode(found) == JPEG * 40


def _lines(text: str) -> int:
    """How many lines of Python run while the text is read."""
    count = 0

    def trace(_frame: FrameType, _event: str, _value: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    parse(text)  # what is done once for all is done now
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (URL, [URL]),
        ([URL, ID], [URL, ID]),
        (json.dumps([URL, ID]), [URL, ID]),
        (f"{URL}, {ID}", [URL, ID]),
        (f"{URL}\n{URL}?b", [URL, f"{URL}?b"]),
        ("https://e.org/w_200,h_300/cat.png", ["https://e.org/w_200,h_300/cat.png"]),
        (f"[cat]({URL})", [f"[cat]({URL})"]),
        ("[Image #1]", ["[Image #1]"]),
        ({"url": URL}, [URL]),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "high"}}, [URL]),
        ({"type": "input_image", "image_url": URL}, [URL]),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": B64}}, [B64]),
        ({"type": "image", "data": B64, "mimeType": "image/jpeg"}, [B64]),
        ([{"url": URL}, ID], [URL, ID]),
        (json.dumps({"url": URL}), [URL]),
        (f"data:image/png;base64,{B64}", [f"data:image/png;base64,{B64}"]),
        ("a, b.png", ["a, b.png"]),
        ([], []),
        ([[URL]], [URL]),
        ([[[URL, ID]]], [URL, ID]),
        ([[URL], [ID]], [[[URL], [ID]]]),
        ({"inlineData": {"mimeType": "image/png", "data": B64}}, [B64]),
        ({"inline_data": {"mime_type": "image/png", "data": B64}}, [B64]),
        ({"fileData": {"fileUri": URL}}, [URL]),
        ({"type": "resource", "resource": {"uri": "ui://x", "blob": B64}}, [B64]),
        ({"type": "resource", "resource": {"uri": "file:///a.png"}}, ["file:///a.png"]),
        ({"type": "file", "file": {"file_data": B64}}, [B64]),
        ({"b64_json": B64}, [B64]),
        ({"type": "input_image", "file_id": "file-abcdefghijklmnop"}, ["file-abcdefghijklmnop"]),
        ({"a": {"url": URL}}, [{"a": {"url": URL}}]),
        ({"a": 1}, [{"a": 1}]),
        (7, [7]),
        ("[" * 100_000, ["[" * 100_000]),
        ('{"url":' * 100_000, ['{"url":' * 100_000]),
    ],
)
def test_an_argument_may_be_one_or_several(value: Any, texts: list[Any]) -> None:
    """Plain, in a list, as JSON, as a content block."""
    assert image_texts(value) == texts


def test_a_list_of_one_image_is_that_image() -> None:
    """Several are an error where one is taken."""
    assert single_image([URL]) == URL
    assert single_image(json.dumps([URL])) == URL
    assert single_image({"url": URL}) == URL
    assert single_image([]) == []
    with pytest.raises(ValueError, match="2 were given"):
        single_image([URL, ID])
