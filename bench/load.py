"""Asks a server the same question over and over, and reads from the operating system what that cost."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import psutil

from bench.contestants import Contestant


class BadAnswer(Exception):
    """A server answered with an error."""


@dataclass(frozen=True, slots=True)
class Question:
    """A GraphQL request, and the key it is asked with."""

    document: str
    variables: dict[str, Any]
    token: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What a number of requests cost: seconds of CPU, and how long each of them took."""

    server_seconds: float
    database_seconds: float
    latencies: list[float]


def ask(contestant: Contestant, question: Question) -> Any:
    """The data of one answer."""
    with _connected(contestant) as connection:
        return json.loads(_asked(connection, question))["data"]


def measure(
    contestant: Contestant,
    database: psutil.Process | None,
    question: Question,
    *,
    requests: int,
    connections: int,
) -> Cost:
    """Ask so many times, over so many connections, each of which waits for an answer before it asks again."""

    def ask_some(count: int) -> list[float]:
        latencies = []
        with _connected(contestant) as connection:
            for _ in range(count):
                started = time.perf_counter()
                _asked(connection, question)
                latencies.append(time.perf_counter() - started)
        return latencies

    shares = [len(range(number, requests, connections)) for number in range(connections)]
    server_before, database_before = cpu_seconds(contestant.process), cpu_seconds(database)
    with ThreadPoolExecutor(connections) as threads:
        latencies = [latency for some in threads.map(ask_some, shares) for latency in some]
    server_after, database_after = cpu_seconds(contestant.process), cpu_seconds(database)
    return Cost(server_after - server_before, database_after - database_before, latencies)


def cpu_seconds(process: psutil.Process | None) -> float:
    """The CPU that a process and all it has started have used, also those that have ended."""
    if process is None:
        return 0.0
    own = process.cpu_times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        try:
            seconds += cpu_seconds(child)
        except psutil.NoSuchProcess:  # it ended between the two looks
            continue
    return seconds


@contextmanager
def _connected(contestant: Contestant) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", contestant.port, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def _asked(connection: HTTPConnection, question: Question) -> bytes:
    body = json.dumps({"query": question.document, "variables": question.variables})
    headers = {"Authorization": f"Bearer {question.token}", "Content-Type": "application/json"}
    connection.request("POST", "/graphql", body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or b'"errors"' in answer:
        raise BadAnswer(f"HTTP {response.status}: {answer[:500].decode(errors='replace')}")
    return answer
