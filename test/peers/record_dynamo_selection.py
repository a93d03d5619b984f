"""Records what NVIDIA Dynamo's own SelectionService chooses in random states, for dynamoSelection.test.ts.

    python3 -m venv v && v/bin/pip install ai-dynamo-runtime==1.6.1 pyzmq msgspec xxhash
    v/bin/python test/peers/record_dynamo_selection.py --seed 1 --scenarios 120 --out test/peers/dynamo-selection.json.gz

Workers are ZeroMQ publishers in this process that send vLLM's KV event batches; the service subscribes to them as it would
to real engines. Each scenario runs in a process of its own, because the weights come from the environment.
"""

import argparse
import asyncio
import concurrent.futures
import gzip
import json
import os
import random
import subprocess
import sys

from dynamo_event_publisher import BLOCK_SIZE, ENGINE_HASH_MASK, MEDIUM, Publisher, events_endpoint, tokens_of

SELECTS_PER_SCENARIO = 100

# Weight name in our router -> environment variable of Dynamo.
CONFIGS = [
    {},
    {"overlap_score_credit": 0.5},
    {"prefill_load_scale": 2.0},
    {"decode_active_request_weight": 3.0},
    {"overlap_score_credit_decay": 1.5},
    {"overlap_score_credit": 0.0},
    {"overlap_score_credit": 1.5, "prefill_load_scale": 0.5, "decode_active_request_weight": 1.0, "overlap_score_credit_decay": 0.25},
]
ENVIRONMENT = {
    "overlap_score_credit": "DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT",
    "overlap_score_credit_decay": "DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT_DECAY",
    "prefill_load_scale": "DYN_ROUTER_PREFILL_LOAD_SCALE",
    "decode_active_request_weight": "DYN_ROUTER_DECODE_ACTIVE_REQUEST_WEIGHT",
}


class Scenario:
    def __init__(self, seed, config):
        self.random = random.Random(seed)
        self.config = config
        self.workers = [[i + 1, 2 if self.random.random() < 0.15 else 1] for i in range(self.random.randint(2, 8))]
        self.ranks = [(worker, rank) for worker, ranks in self.workers for rank in range(ranks)]
        self.paths = self.make_paths()
        self.steps = []
        self.active = []
        self.requests = 0
        self.markers = 0
        # The block paths each rank holds in each tier, so that removals look like an engine's.
        self.tiers = ["device"] if self.random.random() < 0.6 else ["device", "device", "host_pinned", "disk"]
        self.held = {(rank, tier): set() for rank in self.ranks for tier in self.tiers}

    def make_paths(self):
        paths = []
        for _ in range(24):
            path = []
            if paths and self.random.random() < 0.75:
                base = self.random.choice(paths)
                path = base[: self.random.randint(1, len(base))]
            path = path + [self.random.randint(0, 40) for _ in range(self.random.randint(1, 24))]
            paths.append(path)
        return paths

    def event(self, publishers):
        worker, rank = self.random.choice(self.ranks)
        tier = self.random.choice(self.tiers)
        held = self.held[((worker, rank), tier)]
        index = self.random.randrange(len(self.paths))
        path = self.paths[index]
        kind = self.random.random()
        if kind < 0.72 or not held:
            depth = self.random.randint(1, len(path))
            start = 0
            # A lower tier may begin where the device's part ends: its parent then lives in another tier.
            on_device = self.held[((worker, rank), "device")]
            known = on_device if tier != "device" and self.random.random() < 0.5 else held
            while start < depth and tuple(path[: start + 1]) in known:
                start += 1
            if start == depth:
                return
            publishers[worker].stored(rank, path[:depth], start, tier)
            held.update(tuple(path[: i + 1]) for i in range(start, depth))
            self.steps.append(["s", worker, rank, index, start, depth, tier])
        elif kind < 0.97:
            # Engines evict leaves first: from the end of what is held of one path.
            end = max((d for d in range(1, len(path) + 1) if tuple(path[:d]) in held), default=0)
            if end == 0:
                return
            start = self.random.randint(max(0, end - 6), end - 1)
            doomed = [d for d in range(start + 1, end + 1)]
            if any(len(p) > start and list(p[: start + 1]) == path[: start + 1] and list(p) != path[: len(p)] for p in held):
                return  # another held path goes on from here: an engine would not evict its parent
            if any(len(p) > end and list(p[:end]) == path[:end] for p in held):
                return
            publishers[worker].removed(rank, path, start, end, tier)
            held.difference_update(tuple(path[:d]) for d in doomed)
            self.steps.append(["r", worker, rank, index, start, end, tier])
        else:
            publishers[worker].cleared(rank)
            for cleared in self.tiers:
                self.held[((worker, rank), cleared)].clear()
            self.steps.append(["c", worker, rank])

    async def settle(self, service, publishers):
        """Events travel by socket and a thread per tier: wait until marker blocks of each rank and tier have arrived."""
        tiers = sorted(set(self.tiers), key=list(MEDIUM).index)
        marker = [100_000 + self.markers + 10_000 * depth for depth in range(len(tiers))]
        request = {"model_name": "m", "token_ids": tokens_of(marker, 0)}
        self.steps.append(["m", marker, tiers])
        self.markers += 1
        for attempt in range(10_000):
            # The very first marker is sent again and again: a publisher loses what it sends before the service has subscribed.
            if attempt == 0 or (self.markers == 1 and attempt % 50 == 0):
                for worker, rank in self.ranks:
                    for depth, tier in enumerate(tiers):
                        publishers[worker].stored(rank, marker[: depth + 1], depth, tier)
            scores = (await service.overlap_scores(request))["workers"]
            arrived = [w["device_blocks"] + w["host_pinned_extension_blocks"] + w["disk_extension_blocks"] for w in scores]
            if all(blocks == len(tiers) for blocks in arrived):
                return
            await asyncio.sleep(0.001)
        raise TimeoutError("events did not arrive")

    async def select(self, service):
        index = self.random.randrange(len(self.paths))
        path = self.paths[index]
        depth = self.random.randint(1, len(path))
        tail = self.random.randint(0, BLOCK_SIZE - 1)
        request = {"model_name": "m", "token_ids": tokens_of(path[:depth], tail)}
        overlaps = {(w["worker_id"], w["dp_rank"]): w for w in (await service.overlap_scores(request))["workers"]}
        loads = {(w["worker_id"], w["dp_rank"]): w for w in await service.potential_loads(request)}
        reserve = self.random.random() < 0.5
        if reserve:
            self.requests += 1
            chosen = await service.select_and_reserve({**request, "selection_id": f"r{self.requests}"})
            self.active.append([f"r{self.requests}", True])
        else:
            chosen = await service.select(request)
        self.steps.append(
            [
                "a" if reserve else "q",
                self.requests if reserve else 0,
                index,
                depth,
                tail,
                chosen["worker_id"],
                chosen["dp_rank"],
                [overlaps[rank]["device_blocks"] for rank in self.ranks],
                [overlaps[rank]["host_pinned_extension_blocks"] for rank in self.ranks],
                [overlaps[rank]["disk_extension_blocks"] for rank in self.ranks],
                [loads[rank]["potential_prefill_tokens"] for rank in self.ranks],
                [loads[rank]["potential_decode_blocks"] for rank in self.ranks],
                [loads[rank]["active_requests"] for rank in self.ranks],
            ]
        )

    async def progress(self, service):
        if not self.active:
            return
        entry = self.random.choice(self.active)
        name, prefilling = entry
        number = int(name[1:])
        what = self.random.random()
        if prefilling and what < 0.5:
            await service.prefill_complete(name)
            entry[1] = False
            self.steps.append(["p", number])
        elif what < 0.7 and not prefilling:
            service.add_output_block(name)
            self.steps.append(["o", number])
        else:
            await service.free_reservation(name)
            self.active.remove(entry)
            self.steps.append(["f", number])

    async def run(self):
        import zmq
        from dynamo._core import SelectionService

        context = zmq.Context()
        service = SelectionService(indexer_threads=1)
        publishers = {}
        for worker, ranks in self.workers:
            publishers[worker] = Publisher(context)
            await service.upsert_worker(
                {
                    "worker_id": worker,
                    "model_name": "m",
                    "endpoint": f"tcp://127.0.0.1:{7000 + worker}",
                    "block_size": BLOCK_SIZE,
                    **events_endpoint(publishers[worker].port, ranks),
                    "data_parallel_start_rank": 0,
                    "data_parallel_size": ranks,
                }
            )
        await self.settle(service, publishers)
        selects = 0
        while selects < SELECTS_PER_SCENARIO:
            for _ in range(self.random.randint(1, 6)):
                self.event(publishers)
            await self.settle(service, publishers)
            for _ in range(self.random.randint(2, 5)):
                await self.select(service)
                selects += 1
                for _ in range(self.random.randint(0, 2)):
                    await self.progress(service)
        await service.shutdown_async()
        context.destroy(linger=0)
        return {"weights": self.config, "workers": self.workers, "paths": self.paths, "steps": self.steps}


def record_one(seed, config):
    environment = dict(os.environ, DYN_LOG="error", **{ENVIRONMENT[name]: str(value) for name, value in config.items()})
    command = [sys.executable, __file__, "--one", str(seed), json.dumps(config)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    if finished.returncode != 0:
        raise RuntimeError(f"scenario {seed} {config}: {finished.stderr[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenarios", type=int, default=4)
    parser.add_argument("--out")
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        scenario = Scenario(int(options.one[0]), json.loads(options.one[1]))
        print("\n" + json.dumps(asyncio.run(scenario.run()), separators=(",", ":")))
        return
    import importlib.metadata

    jobs = [(options.seed + i, CONFIGS[i % len(CONFIGS)]) for i in range(options.scenarios)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        scenarios = list(pool.map(lambda job: record_one(*job), jobs))
    record = {
        "dynamo": importlib.metadata.version("ai-dynamo-runtime"),
        "blockSize": BLOCK_SIZE,
        "engineHashMask": str(ENGINE_HASH_MASK),
        "scenarios": scenarios,
    }
    text = json.dumps(record, separators=(",", ":"))
    if options.out is None:
        print(text)
        return
    with open(options.out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as compressed:
        compressed.write(text.encode())


if __name__ == "__main__":
    main()
