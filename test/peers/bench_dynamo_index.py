"""Times Dynamo's RadixTree and SelectionService for test/bench/router.ts; prints one JSON object.

The workloads are those of test/bench/routerWorkload.ts: same sizes, same shape. Events are made before the clock starts.
RadixTree is timed by the processor time of the whole process (its tree has a thread of its own), as our side is.
"""

import asyncio
import json
import os
import struct
import sys
import time

MASK = (1 << 64) - 1


def numbers(seed):
    """splitmix64, as in routerWorkload.ts."""
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def sequences(workers, count, shortest, longest):
    random = numbers(workers * 1000 + count)
    made = []
    for index in range(count):
        length = shortest + next(random) % (longest - shortest + 1)
        local = [next(random) for _ in range(length)]
        engine = [next(random) for _ in range(length)]
        made.append((index % workers, local, engine))
    return made


def event(event_id, data):
    return json.dumps({"event_id": event_id, "dp_rank": 0, "data": data}).encode()


def stored(event_id, parent, local, engine):
    blocks = [{"block_hash": e, "tokens_hash": l} for l, e in zip(local, engine)]
    return event(event_id, {"stored": {"parent_hash": parent, "blocks": blocks}})




def radix_tree(workers, count, shortest, longest, rounds, one_block):
    from dynamo._core import RadixTree

    made = sequences(workers, count, shortest, longest)
    blocks = sum(len(local) for _, local, _ in made)
    rates = {"stored": [], "find": [], "removed": []}
    if one_block:
        stores = [
            (worker, stored(i, engine[at - 1] if at else None, local[at : at + 1], engine[at : at + 1]))
            for i, (worker, local, engine) in enumerate(made)
            for at in range(len(local))
        ]
    else:
        stores = [(worker, stored(i, None, local, engine)) for i, (worker, local, engine) in enumerate(made)]
    removes = [(worker, event(i, {"removed": {"block_hashes": engine}})) for i, (worker, _, engine) in enumerate(made)]
    for _ in range(rounds):
        tree = RadixTree()
        start = time.process_time()
        for worker, payload in stores:
            tree.apply_event(worker, payload)
        rates["stored"].append(blocks / (time.process_time() - start))
        start = time.process_time()
        for _, local, _ in made:
            tree.find_matches(local)
        rates["find"].append(blocks / (time.process_time() - start))
        start = time.process_time()
        for worker, payload in removes:
            tree.apply_event(worker, payload)
        rates["removed"].append(blocks / (time.process_time() - start))
    return rates


async def selection_service(workers, prompt_tokens, seconds):
    import msgspec
    import zmq
    from dynamo._core import SelectionService

    block_size = 16
    context = zmq.Context()
    service = SelectionService(indexer_threads=1)
    sockets = []
    for worker in range(workers):
        socket = context.socket(zmq.PUB)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        sockets.append(socket)
        await service.upsert_worker(
            {
                "worker_id": worker,
                "model_name": "m",
                "endpoint": f"tcp://127.0.0.1:{7000 + worker}",
                "block_size": block_size,
                "kv_events_endpoint": f"tcp://127.0.0.1:{port}",
                "data_parallel_start_rank": 0,
                "data_parallel_size": 1,
            }
        )
    await asyncio.sleep(1)
    prompts = [[(p * 7919 + i) % 50000 for i in range(prompt_tokens)] for p in range(64)]
    random = numbers(1)
    blocks = prompt_tokens // block_size
    rates = []
    for _ in range(3):
        selects = 0
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            prompt = prompts[selects % len(prompts)]
            hashes = [next(random) for _ in range(blocks)]
            batch = [0.0, [["BlockStored", hashes, None, prompt[: blocks * block_size], block_size, None]], 0]
            sockets[selects % workers].send_multipart([b"", struct.pack(">Q", selects), msgspec.msgpack.encode(batch)])
            await service.select({"model_name": "m", "token_ids": prompt})
            selects += 1
        rates.append(selects / elapsed)
    await service.shutdown_async()
    context.destroy(linger=0)
    return rates


def main():
    os.environ.setdefault("DYN_LOG", "error")
    wanted = json.loads(sys.argv[1])
    result = {}
    for name, arguments in wanted.items():
        if name == "selection":
            result[name] = asyncio.run(selection_service(**arguments))
        else:
            result[name] = radix_tree(**arguments)
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
