"""Idle clients in a separate process: `python -m attack.idle_clients COUNT PORT...`.

Of four clients, one sends nothing, one a part of a request's headers, one a part of its body, and one its headers byte
by byte. Each holds one connection to each port until the server ends it, and reconnects later. Prints a line when all
have connected once; ends when its stdin does.
"""

import asyncio
import resource
import sys

_RECONNECT_AFTER_S = 10.0
_HEADERS = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
_SENT = (b"", _HEADERS, _HEADERS + b"Content-Length: 1000\r\n\r\n{", b"P")
_SLOW = 3
"""The place in `_SENT` of what goes on byte by byte."""
_BYTE_EVERY_S = 2.0


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in _HEADERS[1:]:
        await asyncio.sleep(_BYTE_EVERY_S)
        writer.write(bytes([byte]))
        await writer.drain()


async def _stay(port: int, kind: int, connected: asyncio.Semaphore) -> None:
    is_first = True
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_SENT[kind])
            if is_first:
                connected.release()
                is_first = False
            if kind == _SLOW:
                await _drip(writer)
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(_RECONNECT_AFTER_S)


async def _main(count: int, ports: list[int]) -> None:
    connected = asyncio.Semaphore(0)
    # what reads begins now: later there may be no file left to import its thread from
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with asyncio.TaskGroup() as group:
        staying = [
            group.create_task(_stay(port, number % len(_SENT), connected)) for number in range(count) for port in ports
        ]
        for _ in staying:
            await connected.acquire()
        sys.stdout.write("connected\n")
        sys.stdout.flush()
        await ended
        for one in staying:
            one.cancel()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
