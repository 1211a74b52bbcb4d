"""The parts of the ad exchange, each by itself: what it reads, says, calls and is told."""

from __future__ import annotations

import copy
import json
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ad_exchange_openrtb as openrtb
import pytest
from ad_exchange_http import ServiceError, ask, fetch
from ad_exchange_options import read_options
from ad_exchange_records import interrupt

from cano_sync import CancellationToken

EXAMPLES = Path(__file__).parents[2] / "examples"
REQUEST = EXAMPLES / "data" / "bid_request.json"

# Bid requests.


@pytest.fixture
def proper() -> dict[str, Any]:
    return openrtb.parse_request(REQUEST.read_bytes())


def test_the_request_in_the_examples_is_a_proper_one(proper: dict[str, Any]) -> None:
    openrtb.check_request(proper)
    assert proper["imp"][0]["bidfloor"] == 1.5


def test_a_floor_from_outside_goes_before_the_requests_own(proper: dict[str, Any]) -> None:
    openrtb.check_request(proper, 5)
    assert proper["imp"][0]["bidfloor"] == 5


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe{",
        b"{",
        b"null",
        b"3",
        b'"text"',
        b'{"id": NaN}',
        b'{"id": Infinity}',
    ],
)
def test_what_is_no_json_object_is_no_request(text: bytes) -> None:
    with pytest.raises(openrtb.RequestError, match="it is not"):
        openrtb.parse_request(text)


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (["id"], None, "no id"),
        (["id"], "", "no id"),
        (["site"], ..., "either a site or an app"),
        (["app"], {}, "either a site or an app"),
        (["imp"], ..., "no imp"),
        (["imp"], [], "no imp"),
        (["imp"], "banner", "no imp"),
        (["imp"], [None], r"imp\[0\] has no id"),
        (["imp"], [{"id": "1"}, {"id": "2"}], "offers 2 impressions"),
        (["imp", 0, "id"], 1, r"imp\[0\] has no id"),
        (["imp", 0, "banner"], ..., "no banner"),
        (["imp", 0, "banner"], [], "no banner"),
        (["imp", 0, "bidfloor"], "1.5", "'1.5', not a price"),
        (["imp", 0, "bidfloor"], -1, "-1, not a price"),
        (["imp", 0, "bidfloor"], True, "True, not a price"),
        (["imp", 0, "bidfloor"], 10**400, "not a price"),
        (["imp", 0, "bidfloorcur"], "EUR", r"not in \['EUR'\]"),
        (["cur"], ["EUR"], r"not in \['EUR'\]"),
        (["cur"], "EUR", "not in 'EUR'"),
    ],
)
def test_a_request_with_one_thing_wrong_is_told_which(
    proper: dict[str, Any], path: list[Any], value: Any, why: str
) -> None:
    where = proper
    for step in path[:-1]:
        where = where[step]
    if value is ...:
        del where[path[-1]]
    else:
        where[path[-1]] = value
    with pytest.raises(openrtb.RequestError, match=why):
        openrtb.check_request(proper)


def test_context_fills_what_the_publisher_has_left_open(proper: dict[str, Any]) -> None:
    """It overwrites nothing, and the publisher's request stays as it is."""
    before = copy.deepcopy(proper)
    pieces = [{"device": {"make": "Fairphone", "ip": "203.0.113.9"}}, {"user": {"yob": 1990}}]
    asked = json.loads(openrtb.enriched(proper, pieces, tmax=200))
    assert asked["device"]["make"] == "Fairphone"
    assert asked["device"]["ip"] == before["device"]["ip"]
    assert asked["user"] == {**before["user"], "yob": 1990}
    assert (asked["at"], asked["tmax"]) == (1, 200)
    assert proper == before


# Bids.


def answer(**changes: Any) -> dict[str, Any]:
    bid = {"impid": "1", "price": 2.0, "nurl": "http://b/win?price=${AUCTION_PRICE}", **changes}
    return {"id": "a", "seatbid": [{"bid": [bid]}], "ext": {"latency_ms": 45}}


ASKED = {"id": "a", "imp": [{"id": "1"}]}


def test_a_bid_is_read_from_an_answer() -> None:
    bid = openrtb.parse_bid("swift", answer(), ASKED)
    assert (bid.bidder, bid.price, bid.latency_ms, bid.score) == ("swift", 2.0, 45, 0.0)
    assert openrtb.win_notice(bid, "a") == "http://b/win?price=2.00"


@pytest.mark.parametrize("seats", [{"seatbid": []}, {}, {"seatbid": None}])
def test_a_bidder_may_decline(seats: dict[str, Any]) -> None:
    assert openrtb.parse_bid("swift", {"id": "a", **seats}, ASKED) is None


@pytest.mark.parametrize(
    "crazy",
    [
        None,
        [],
        "bid",
        {"id": "another"},
        {"id": "a", "seatbid": 3},
        {"id": "a", "seatbid": [{}]},
        {"id": "a", "seatbid": [{"bid": []}]},
        answer(price="2.0"),
        answer(price=-2.0),
        answer(price=float("nan")),
        answer(price=float("inf")),
        answer(price=True),
        answer(price=10**400),
        answer(impid="2"),
        {**answer(), "cur": "EUR"},
        {**answer(), "ext": None},
        {**answer(), "ext": {"latency_ms": None}},
    ],
)
def test_an_answer_that_is_crazy_is_no_bid(crazy: Any) -> None:
    with pytest.raises(openrtb.BidError):
        openrtb.parse_bid("swift", crazy, ASKED)


# HTTP.


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/ask"


def test_a_cancellation_hangs_up_on_a_service_that_does_not_answer(listener) -> None:
    """Both ends notice: the caller gets out of its wait, and the service reads the end."""
    cancel = CancellationToken()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(fetch, url_of(listener), cancel)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            assert connection.recv(4096).startswith(b"GET /ask ")
            cancel.cancel("too late")
            assert connection.recv(4096) == b""
        with pytest.raises(ConnectionError):
            call.result(timeout=20)


def test_a_call_takes_no_longer_than_its_task_has(listener) -> None:
    """The token's time limit is the call's: nobody cancels, and nobody answers."""
    with pytest.raises(OSError):  # which one: as its own time limit or the hang-up is first
        fetch(url_of(listener), CancellationToken(timeout=0.05))


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 500 Oh No\r\nContent-Length: 0\r\n\r\n", "status 500 Oh No"),
        (b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", "status 404 Gone"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no JSON but b'<html>'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff", "no JSON but"),
    ],
)
def test_an_answer_that_is_an_error_or_no_json_says_so(listener, reply: bytes, why: str) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(reply)

    server = threading.Thread(target=serve)
    server.start()
    try:
        with pytest.raises(ServiceError, match=why):
            ask(url_of(listener), {}, CancellationToken())
    finally:
        server.join(20)


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def end(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("hang_up", [reset, end])
@pytest.mark.parametrize(
    "said", [b"", b"POST /ask HTT", b"POST /ask HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"{"]
)
def test_a_service_does_not_mind_a_client_that_hangs_up(
    environment, said: bytes, hang_up: Callable[[socket.socket], None]
) -> None:
    """Wherever in its question that is, the service says nothing, and answers the next one."""
    command = [sys.executable, str(EXAMPLES / "ad_exchange_services.py"), "user", "ok", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    ) as service:
        try:
            address = ("127.0.0.1", int(service.stdout.readline()))
            with socket.create_connection(address) as client:
                client.sendall(said)
                hang_up(client)
            url = f"http://127.0.0.1:{address[1]}/ask"
            assert "user" in ask(url, {}, CancellationToken())
        finally:
            _, err = service.communicate(timeout=20)  # which closes its standard input
    assert err == ""


# The database.


def test_a_query_that_has_just_ended_may_still_be_stopped() -> None:
    """A cancellation that was already under way comes when the connection is closed."""
    connection = sqlite3.connect(":memory:")
    interrupt(connection)
    connection.close()
    interrupt(connection)


# The command line.


def test_options_have_defaults() -> None:
    options = read_options([])
    assert options.request == REQUEST.read_bytes()
    assert (options.floor, options.broken, options.records) == (None, {}, None)
    assert (options.pace, options.json) == (1.0, False)


def test_a_group_breaks_all_its_services_and_what_is_said_last_holds() -> None:
    broken = read_options(["--break", "context=down", "--break", "geo=ok"]).broken
    assert broken == {"user": "down", "geo": "ok", "device": "down"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--floor", "x"], "--floor: 'x' is not a number"),
        (["--floor", "nan"], "--floor: 'nan' is not a number"),
        (["--floor", "-1"], "--floor: -1 is no price: it must not be negative"),
        (["--pace", "0"], "--pace: 0 is no pace: it must be more than 0"),
        (["--pace", "inf"], "--pace: 'inf' is not a number"),
        (["--break", "geo"], "--break: 'geo' is not like geo=hang"),
        (["--break", "geo=tired"], "--break: 'tired' is not one of ok, down, garbage, 500, hang"),
        (["--break", "moon=down"], "--break: there is no service 'moon'; there are user, geo, "),
        (["--request", "no/such/file"], "--request: no/such/file: No such file or directory"),
        (["--request", "."], "--request: .: Is a directory"),
        (["--speed", "9"], "unrecognized arguments: --speed 9"),
    ],
)
def test_a_wrong_option_is_told_in_one_line_with_status_2(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert line.startswith("ad_exchange.py: ")
    assert why in line
