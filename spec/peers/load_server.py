"""Load on a server of recipes/serve.lua: many connections that ask at once, as fast as they are answered.

    bertlua recipes/serve.lua --checkpoint MODEL &
    python3 spec/peers/load_server.py --connections 64 --seconds 10

prints requests a second, the times of answers (median, 99 of 100, largest) and the statuses. Connections stay open, and
each has one request in flight. With fewer requests in flight than --max-queue nothing may fail; with more there are 429s
(--expect-refusals), each with Retry-After; while the server stops (--expect-stop) all that it has begun to read is
answered, with 503 if it came too late. Needs nothing but Python.
"""
import argparse
import asyncio
import json
import random
import time
from collections import Counter

WORDS = ("the server reads a text and gives its vector so that programs can compare what people wrote with what other "
         "people meant when they asked for it in the morning paper of a small town by the sea").split()


def request_of(options, generator):
    texts = [" ".join(generator.choices(WORDS, k=generator.randint(*options.words))) for _ in range(options.texts)]
    if options.route == "/v1/embeddings":
        body = json.dumps({"input": texts, "encoding_format": "base64"})
    elif options.route == "/predict":
        body = json.dumps({"inputs": [[text] for text in texts]})
    else:
        body = json.dumps({"inputs": texts})
    head = (f"POST {options.route} HTTP/1.1\r\nHost: {options.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return (head + body).encode()


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    status = int(lines[0].split()[1])
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    await reader.readexactly(int(fields["content-length"]))
    return status, fields


async def ask(options, number, until, results):
    generator = random.Random(number)
    reader = writer = None
    while time.monotonic() < until:
        if writer is None:
            try:
                reader, writer = await asyncio.open_connection(options.host, options.port, limit=2 ** 24)
            except ConnectionRefusedError as problem:
                results["failed"].append(repr(problem)) if not options.expect_stop else None
                return
        began = time.monotonic()
        try:
            writer.write(request_of(options, generator))
            await writer.drain()
            status, fields = await asyncio.wait_for(read_answer(reader), 60)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as problem:
            # A connection may be closed just when its next request is sent; an answer that has begun comes to its end.
            begun = getattr(problem, "partial", b"") or isinstance(problem, asyncio.TimeoutError)
            if begun or not options.expect_stop:
                results["failed"].append(repr(problem))
            results["statuses"]["closed"] += 1
            writer.close()
            writer = None
            continue
        results["statuses"][status] += 1
        if status == 200:
            results["seconds"].append(time.monotonic() - began)
        elif status == 429:
            assert "retry-after" in fields
            await asyncio.sleep(options.pause)
        if fields.get("connection") == "close":
            writer.close()
            writer = None
    if writer:
        writer.close()


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def run(options):
    results = {"statuses": Counter(), "seconds": [], "failed": []}
    began = time.monotonic()
    until = began + options.seconds
    await asyncio.gather(*(ask(options, number, until, results) for number in range(options.connections)))
    seconds, ordered = time.monotonic() - began, sorted(results["seconds"])
    print(f"{options.connections} connections, {options.texts} texts of {options.words[0]} to {options.words[1]} words, "
          f"{seconds:.1f} s: {len(ordered) / seconds:.0f} requests/s, {options.texts * len(ordered) / seconds:.0f} texts/s; "
          f"p50 {1e3 * quantile(ordered, 0.5):.1f} ms, p99 {1e3 * quantile(ordered, 0.99):.1f} ms, "
          f"largest {1e3 * quantile(ordered, 1):.1f} ms")
    print("statuses:", ", ".join(f"{status}: {count}" for status, count in
                                  sorted(results["statuses"].items(), key=str)))
    for problem, count in Counter(results["failed"]).items():
        print(f"failed: {problem}: {count}")
    allowed = {200} | ({429} if options.expect_refusals else set()) | ({503, "closed"} if options.expect_stop else set())
    if results["failed"] or not ordered or set(results["statuses"]) - allowed:
        raise SystemExit("FAILED")
    if options.expect_refusals and not results["statuses"][429]:
        raise SystemExit("FAILED: nothing was refused")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--route", default="/embed", choices=["/embed", "/v1/embeddings", "/predict"])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--texts", type=int, default=1, help="in a request")
    parser.add_argument("--words", type=int, nargs=2, default=(5, 30), metavar=("FEWEST", "MOST"), help="of a text")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds after a refusal")
    parser.add_argument("--expect-refusals", action="store_true")
    parser.add_argument("--expect-stop", action="store_true", help="the server gets a SIGTERM meanwhile")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
