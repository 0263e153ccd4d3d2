"""`fastha check --machine`: what a configuration needs and does not find."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from fastha.cli.main import cli
from fastha.config import load
from fastha.config.diagnostics import Diagnostic
from fastha.daemon.preflight import preflight

TEXT = """
global_defs {
    notify_fifo %(fifo)s
    script_user root
    %(security)s
}
vrrp_script chk {
    script "%(script)s argument"
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    use_vmac vm1
    virtual_ipaddress {
        192.0.2.1/24 dev vm1
        192.0.2.2/24 dev eth7
    }
    track_interface {
        eth8
    }
    notify_master %(script)s
}
virtual_server 192.0.2.1 443 {
    protocol TCP
    lvs_sched rr
    lvs_method NAT
    real_server 10.0.0.1 443 {
        SSL_GET {
            fastha_tls_ca %(ca)s
            url {
                path /
            }
        }
    }
}
"""


def found(tmp_path: Path, *, security: str = "", **paths: str) -> list[Diagnostic]:
    good = tmp_path / "good"
    good.write_text("#!/bin/sh\n")
    good.chmod(0o755)
    values = {"script": "/bin/true", "ca": str(good), "fifo": str(tmp_path / "fifo"), "security": security}
    config = load("k.conf", text=TEXT % (values | paths)).config
    assert config is not None
    return list(preflight(config, "k.conf", interfaces=frozenset({"eth0", "eth7", "eth8"})))


def test_a_machine_that_has_everything_is_fine(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def test_a_script_that_is_missing_is_told_once_for_each_use(tmp_path: Path) -> None:
    said = found(tmp_path, script="/no/such/script")
    assert [d.code for d in said] == ["FH0401", "FH0401"]
    assert said[0].message.startswith("vrrp_script chk: ")
    assert said[1].message.startswith("vrrp_instance A notify_master: ")
    assert said[0].span.line == 7


def test_a_script_that_anybody_may_change_is_unsafe_or_refused(tmp_path: Path) -> None:
    script = tmp_path / "open"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o777)
    assert {d.code for d in found(tmp_path, script=str(script))} == {"FH0402"}
    refused = found(tmp_path, script=str(script), security="enable_script_security")
    assert {d.code for d in refused} == {"FH0401"}


def test_interfaces_that_are_not_here(tmp_path: Path) -> None:
    config = load(
        "k.conf", text=TEXT % {"script": "/bin/true", "ca": "/", "fifo": "/f", "security": ""}
    ).config
    assert config is not None
    said = [d.message for d in preflight(config, "k.conf", interfaces=frozenset({"eth0"}))]
    assert [m.split()[6] for m in said] == ["eth8", "eth7"]


def test_files_and_directories_that_are_not_here(tmp_path: Path) -> None:
    said = found(tmp_path, ca="/no/ca.pem", fifo="/no/such/dir/fifo")
    assert [d.code for d in said] == ["FH0404", "FH0404"]
    assert "ca.pem" in said[0].message
    assert "/no/such/dir" in said[1].message


def test_check_looks_at_the_machine_only_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "k.conf"
    file.write_text("vrrp_instance A {\ninterface nosuch0\nvirtual_router_id 1\nno_virtual_ipaddress\n}\n")
    run = CliRunner()
    assert "FH0403" not in run.invoke(cli, ["check", str(file)]).output
    result = run.invoke(cli, ["check", "--machine", "--strict", str(file)])
    assert "FH0403" in result.output
    assert result.exit_code == 1
