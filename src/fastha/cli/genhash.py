"""`fastha genhash`: the MD5 digest of a page, as HTTP_GET and SSL_GET compare it. keepalived's genhash(1).

The request and the digest are octet for octet those of the checker: the body as it stands on the wire, up to
Content-Length. A page that cannot be had is told on standard output as keepalived does, with exit status 1.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time

import click

_SO_MARK = 36
_MAX_HEADER = 65536


class _FetchError(Exception):
    """Why there is no digest."""


def _connect(server: str, port: int, timeout: float, fwmark: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(server, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _FetchError(f"server '{server}': {error.strerror or error}") from None
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        if fwmark:
            sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, fwmark)
        sock.settimeout(timeout)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _secure(sock: socket.socket, name: str | None) -> socket.socket:
    import ssl  # noqa: PLC0415 - only for https

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=True)


def fetch(
    server: str,
    port: int,
    url: str,
    *,
    use_ssl: bool = False,
    virtualhost: str | None = None,
    sni: bool = False,
    protocol: str = "1.0",
    timeout: float = 5.0,
    fwmark: int = 0,
) -> tuple[bytes, bytes]:
    """The header and the body of a page. Raises OSError and `_FetchError`."""
    host = virtualhost or (f"[{server}]:{port}" if ":" in server else f"{server}:{port}")
    close = "" if protocol == "1.0" else "Connection: close\r\n"
    version = "1.1" if protocol == "1.1" else "1.0"
    request = f"GET {url} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n"
    sock = _connect(server, port, timeout, fwmark)
    try:
        if use_ssl:
            sock = _secure(sock, virtualhost if sni else None)
        sock.sendall(request.encode())
        data = b""
        end: re.Match[bytes] | None = None
        length: int | None = None
        while True:
            more = sock.recv(65536)
            data += more
            if end is None:
                end = re.search(rb"\r?\n\r?\n", data)
                if end is not None:
                    field = re.search(rb"(?im)^content-length:\s*(\d+)", data[: end.start()])
                    length = int(field[1]) if field else None
                elif len(data) > _MAX_HEADER:
                    raise _FetchError(f"the header is longer than {_MAX_HEADER} octets")
            if not more or (end is not None and length is not None and len(data) >= end.end() + length):
                break
    finally:
        sock.close()
    if end is None:
        raise _FetchError("no HTTP header came")
    body = data[end.end() :]
    return data[: end.end()], body if length is None else body[:length]


def _dump(data: bytes) -> None:
    """Sixteen octets a row, in hexadecimal and as text."""
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        cells = [f"{octet:02x} " for octet in row] + ["   "] * (16 - len(row))
        text = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row).ljust(16)
        click.echo(f"{start:04d}  {''.join(cells[:8])}- {''.join(cells[8:])}  {text}")


def _title(text: str) -> None:
    click.echo(f"-----------------------[{text}]-----------------------")


@click.command("genhash", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--use-ssl", "-S", is_flag=True, help="Use TLS.")
@click.option("--use-sni", "-I", is_flag=True, help="Send the virtual host's name in the TLS handshake.")
@click.option("--server", "-s", required=True, help="Address of the server.")
@click.option("--port", "-p", type=click.IntRange(1, 65535), default=80, help="Port of the server.")
@click.option("--url", "-u", required=True, help="Path of the page.")
@click.option("--use-virtualhost", "-V", "virtualhost", help="Virtual host to ask for.")
@click.option("--verbose", "-v", is_flag=True, help="Show the header, the page and the time it took.")
@click.option("--fwmark", "-m", type=click.IntRange(0, 0xFFFFFFFF), default=0, help="Mark of the packets.")
@click.option(
    "--protocol",
    "-P",
    type=click.Choice(["1.0", "1.0c", "1.0C", "1.1"]),
    default="1.0",
    help="HTTP version; 1.0c is 1.0 with 'Connection: close'.",
)
@click.option("--timeout", "-t", type=float, default=5.0, help="Seconds that each step may take.")
def genhash(
    use_ssl: bool,
    use_sni: bool,
    server: str,
    port: int,
    url: str,
    virtualhost: str | None,
    verbose: bool,
    fwmark: int,
    protocol: str,
    timeout: float,
) -> None:
    """Print the MD5 digest of a page, for `digest` in HTTP_GET and SSL_GET."""
    began = time.monotonic()
    try:
        header, body = fetch(
            server,
            port,
            url,
            use_ssl=use_ssl,
            virtualhost=virtualhost,
            sni=use_sni,
            protocol=protocol,
            timeout=timeout,
            fwmark=fwmark,
        )
    except (OSError, _FetchError) as error:
        click.echo("Connection failed")
        click.echo(f"genhash: {error}", err=True)
        raise SystemExit(1) from None
    digest = hashlib.md5(body, usedforsecurity=False)
    if verbose:
        _title("    HTTP Header Buffer    ")
        _dump(header)
        _title(" HTTP Header Ascii Buffer ")
        click.echo(header.decode("utf-8", "replace"))
        _title("        HTML Buffer        ")
        _dump(body)
        click.echo()
        _title("    HTML hash resulting    ")
        _dump(digest.digest())
        _title(" HTML hash final resulting ")
    click.echo(digest.hexdigest())
    if verbose:
        click.echo(f"\nGlobal response time for [{url}] = {int((time.monotonic() - began) * 1e6)} usecs")
