"""Load test of navigen-serve: requests a second, p50 and p99 for 1, 8 and 64 clients, failures, and SIGTERM under load.

python benchmarks/serve.py --run=saved/NaviGen-ml-100k-...

Every client asks as soon as it has its answer, for other histories each time, over connections that stay open. The
clients share the processor with the server, and with whatever else runs: what other work cannot change much is the
processor time that the server takes for a request. /instruct is asked where the run has a writer.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from harness.common import Bar, write_results

ROOT = Path(__file__).parent.parent
CLIENTS = (1, 8, 64)


def start(run: str) -> tuple[subprocess.Popen, str, float]:
    """The server, its address, and the seconds until it answered."""
    begin = time.perf_counter()
    command = [sys.executable, str(ROOT / "run_serve.py"), f"--run={run}", "--port=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "300"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    place = re.search(r"at (http://\S+):", server.stdout.readline())[1]
    httpx.get(f"{place}/health").raise_for_status()
    return server, place, time.perf_counter() - begin


def question(path: str, users: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """What a client asks next."""
    if path == "/instruct":
        return {"user": str(rng.choice(users)), "seed": int(rng.integers(2**31)), "drafts": 1}
    return {"user": str(rng.choice(users)), "k": int(rng.integers(5, 21)), "exclude_history": bool(rng.integers(2))}


def processor_seconds(process: int) -> float:
    """Processor time that a process has taken so far."""
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


async def load(server: int, place: str, path: str, users: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """Ask for some seconds, after a second in which nothing is timed. server: number of its process."""
    took: list[float] = []
    failed: list[str] = []
    answered, before = 0, processor_seconds(server)
    began = time.perf_counter() + 1.0

    async def ask(number: int) -> None:
        nonlocal answered
        rng = np.random.default_rng([clients, number])
        # Each client has a pool of its own: one pool of httpx looks through all its connections at every request.
        async with httpx.AsyncClient(base_url=place, timeout=120, verify=False) as client:
            while (begin := time.perf_counter()) < began + seconds:
                try:
                    answer = await client.post(path, json=question(path, users, rng))
                    answer.raise_for_status()
                except httpx.HTTPError as error:
                    failed.append(f"{type(error).__name__}: {error}")
                    continue
                answered += 1
                if begin >= began:
                    took.append(time.perf_counter() - begin)

    await asyncio.gather(*(ask(number) for number in range(clients)))
    measured = time.perf_counter() - began
    p50, p99 = np.quantile(took, [0.5, 0.99]) * 1000
    return {
        "path": path,
        "clients": clients,
        "requests": len(took),
        "per_second": round(len(took) / measured, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "processor_ms": round((processor_seconds(server) - before) / answered * 1000, 2),
        "failed": len(failed),
        "first_failure": failed[0] if failed else None,
    }


async def stopped(server: subprocess.Popen, place: str, path: str, users: list[str], clients: int) -> dict[str, Any]:
    """SIGTERM while each client waits for an answer. New connections are refused from then on, which is no failure."""
    rng, sent = np.random.default_rng(0), 0

    async def trace(event: str, _: Any) -> None:
        nonlocal sent
        sent += event == "http11.send_request_body.complete"

    async with httpx.AsyncClient(base_url=place, timeout=120) as client:
        asks = (client.post(path, json=question(path, users, rng), extensions={"trace": trace}) for _ in range(clients))
        asked = [asyncio.create_task(ask) for ask in asks]
        while sent < clients and not all(task.done() for task in asked):
            await asyncio.sleep(0.01)
        await client.get("/health")  # connections are accepted in turn, so the server has all of theirs by then
        server.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*asked, return_exceptions=True)
    answered = sum(isinstance(answer, httpx.Response) and answer.status_code == 200 for answer in answers)
    server.wait(timeout=120)
    return {"path": path, "under_way": clients, "answered": answered, "exit_code": server.returncode}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a finished run, saved/RUN")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default: %(default)s)")
    arguments = parser.parse_args()

    from recbole_navigen.quick_start import Recommender
    from recbole_navigen.runs.result import read_result

    users = Recommender.load(arguments.run).users
    server, place, starting = start(arguments.run)
    instructs = httpx.get(f"{place}/health").json()["instructs"]
    paths = ["/recommend", *(["/instruct"] if instructs else [])]
    rows = [asyncio.run(load(server.pid, place, path, users, n, arguments.seconds)) for path in paths for n in CLIENTS]
    ends = [asyncio.run(stopped(server, place, paths[-1], users, 32))]
    for row in (*rows, *ends):
        print(row)
    failed = sum(row["failed"] for row in rows)
    lost = sum(row["under_way"] - row["answered"] for row in ends)
    record = read_result(arguments.run)
    write_results(
        "serve",
        [
            Bar("failed requests", failed, "0", failed == 0),
            Bar("requests under way that SIGTERM lost", lost, "0", lost == 0),
            Bar("exit code after SIGTERM", ends[0]["exit_code"], "0", ends[0]["exit_code"] == 0),
        ],
        {
            "model": record["model"],
            "dataset": record["dataset"],
            "items": len(Recommender.load(arguments.run).item_tokens),
            "seconds_to_start": round(starting, 1),
            "load": rows,
            "sigterm": ends,
        },
    )


if __name__ == "__main__":
    main()
