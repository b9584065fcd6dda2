"""Idle clients in a separate process: `python -m attack.idle_clients COUNT PORT...`.

Of three clients, one sends nothing, one a part of a request's headers, and one a part of its body. Each holds one
connection to each port until the server ends it, and reconnects later. Prints a line when all have connected once;
ends when its stdin does.
"""

import asyncio
import resource
import sys

_RECONNECT_AFTER_S = 10.0
_HEADERS = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
_SENT = (b"", _HEADERS, _HEADERS + b"Content-Length: 1000\r\n\r\n{")


async def _stay(port: int, sent: bytes, connected: asyncio.Semaphore) -> None:
    is_first = True
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            if is_first:
                connected.release()
                is_first = False
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(_RECONNECT_AFTER_S)


async def _main(count: int, ports: list[int]) -> None:
    connected = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        staying = [
            group.create_task(_stay(port, _SENT[number % len(_SENT)], connected))
            for number in range(count)
            for port in ports
        ]
        for _ in staying:
            await connected.acquire()
        sys.stdout.write("connected\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for one in staying:
            one.cancel()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
