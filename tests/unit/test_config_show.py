"""`fastha config show`: what is printed means the same when it is read again; JSON fits its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from fastha.cli.main import cli
from fastha.config import load
from fastha.config.diff import compare
from fastha.config.export import schema, to_data
from fastha.config.model import Config
from fastha.config.model_base import Command
from fastha.config.render import render
from fastha.config.writer import program, seconds, word

EVERYTHING = Path(__file__).parents[1] / "data" / "everything.conf"


def everything() -> Config:
    result = load(EVERYTHING)
    assert result.config is not None, [d.render() for d in result.diagnostics]
    return result.config


# fields of the model that no text reaches: see the reason
NOT_WRITABLE = {
    "Firewall.ipsets": "fastha needs none",
    "VrrpSettings.debug": "no effect in keepalived either",
}


def _seen(thing: Any, away: set[str], all_: set[str]) -> None:
    """Collects the fields that are away from their default somewhere, and all fields."""
    if isinstance(thing, tuple):
        for x in thing:
            _seen(x, away, all_)
    if not isinstance(thing, msgspec.Struct):
        return
    for field in msgspec.structs.fields(type(thing)):
        if field.name in ("span", "text"):
            continue
        value = getattr(thing, field.name)
        # a field that several kinds inherit is one field
        owner = next(
            c for c in reversed(type(thing).__mro__) if field.name in vars(c).get("__annotations__", ())
        )
        name = f"{owner.__name__}.{field.name}"
        if isinstance(value, msgspec.Struct | tuple):
            _seen(value, away, all_)
        if not field.required:
            all_.add(name)
            if value != field.default:
                away.add(name)


def test_the_sample_has_every_setting_away_from_its_default() -> None:
    away: set[str] = set()
    all_: set[str] = set()
    _seen(everything(), away, all_)
    # what is below a route or rule is covered by its text
    missing = {n for n in all_ - away if n.partition(".")[0] not in ("Route", "Rule", "NextHop", "Encap")}
    assert missing - set(NOT_WRITABLE) == set()


def test_the_sample_reads_back_as_the_same_model() -> None:
    config = everything()
    text = render(config)
    again = load("-", text=text)
    assert again.config is not None, [d.render() for d in again.diagnostics]
    assert [c.render() for c in compare(config, again.config)] == []
    assert render(again.config) == text


def test_without_secrets_none_is_printed() -> None:
    text = render(everything(), secrets=False)
    for secret in (
        "a b!#",
        "00ff",
        "0e0f10",
        "616c706861",
        " pass\n",
        "mailpassword",
        b"mailpassword".hex(),
        b"the secret".hex(),
        "password pw",
    ):
        assert secret not in text, secret
    shown = CliRunner().invoke(cli, ["config", "show", "--json", str(EVERYTHING)])
    assert shown.exit_code == 0
    assert "0e0f10" not in shown.output
    assert json.loads(shown.output)["config"]["instances"][0]["auth_pass"] == "*" * 8


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("a#b", '"a#b"'),
        ('say "x"', "'say \"x\"'"),
        ("", '""'),
    ],
)
def test_words_are_quoted_where_they_must_be(text: str, written: str) -> None:
    assert word(text) == written


@pytest.mark.parametrize(
    ("ns", "written"), [(1_000_000_000, "1"), (1_500_000_000, "1.5"), (1_000, "0.000001"), (0, "0")]
)
def test_seconds_are_written_exactly(ns: int, written: str) -> None:
    assert seconds(ns) == written


@pytest.mark.parametrize(
    "argv",
    [
        ("/bin/x",),
        ("/bin/x", "a", "b"),
        ("/bin/x", "a b"),
        ("/bin/x", "it's"),
        ("/bin/x", 'say "x"'),
        ("/bin/with blank",),
        ("/bin/x", "#1"),
        ("/bin/x", "back\\slash"),
    ],
)
@pytest.mark.parametrize("owner", [None, "nobody"])
def test_commands_read_back(argv: tuple[str, ...], owner: str | None) -> None:
    written = program(Command(argv, owner))
    text = f"vrrp_instance A {{\ninterface e\nvirtual_router_id 1\nnotify_master {written}\n}}\n"
    config = load("-", text=text).config
    assert config is not None
    found = config.instances[0].settings.notify.master
    assert found is not None
    assert (found.argv, found.user) == (argv, owner)


def _fits(value: Any, wanted: dict[str, Any], defined: dict[str, Any], path: str) -> list[str]:
    """What of a value does not fit a schema, for the words that ours uses."""
    if "$ref" in wanted:
        wanted = defined[wanted["$ref"].rpartition("/")[2]]
    if "anyOf" in wanted:
        tried = [_fits(value, w, defined, path) for w in wanted["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "const" in wanted:
        return [] if value == wanted["const"] else [f"{path}: {value!r} is not {wanted['const']!r}"]
    if "enum" in wanted:
        return [] if value in wanted["enum"] else [f"{path}: {value!r} not in {wanted['enum']}"]
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    kind = kinds[wanted["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{path}: {value!r} is no {wanted['type']}"]
    found: list[str] = []
    if kind is dict:
        found += [f"{path}: {k} is missing" for k in wanted["required"] if k not in value]
        for key, inner in value.items():
            if key in wanted["properties"]:
                found += _fits(inner, wanted["properties"][key], defined, f"{path}.{key}")
            else:
                found.append(f"{path}: {key} is unknown")
    if kind is list:
        for at, inner in enumerate(value):
            of = wanted["prefixItems"][at] if "prefixItems" in wanted else wanted["items"]
            found += _fits(inner, of, defined, f"{path}[{at}]")
    return found


def test_json_fits_the_schema() -> None:
    wanted = schema()
    data = {"version": 1, "config": to_data(everything())}
    wrapped = {"type": "object", **{k: wanted[k] for k in ("properties", "required")}}
    assert _fits(json.loads(json.dumps(data)), wrapped, wanted["$defs"], "") == []


def test_show_of_a_bad_file_says_why_and_fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.conf"
    bad.write_text("vrrp_instance A {\n}\n")
    result = CliRunner().invoke(cli, ["config", "show", str(bad)])
    assert result.exit_code == 2
    assert "virtual_router_id" in result.output


def test_what_things_share_is_told_as_their_own() -> None:
    result = load(
        "-",
        text="vrrp_instance A {\ninterface e\nvirtual_router_id 1\nadvert_int 2\n"
        "virtual_ipaddress {\n192.0.2.1\n192.0.2.2/24\n192.0.2.3/24 dev  f\n}\n}\n",
    )
    (found,) = to_data(result.config)["instances"]
    assert found["advert_int_ns"] == 2 * 10**9 and "settings" not in found
    assert [(a["dev"], a["text"]) for a in found["addresses"]] == [
        (None, "192.0.2.1"), (None, "192.0.2.2/24"), ("f", "192.0.2.3/24 dev f")
    ]  # fmt: skip
    assert all("options" not in a for a in found["addresses"])
