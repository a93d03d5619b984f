"""An engine's side of KV events, as vLLM publishes them over ZeroMQ: for record_dynamo_selection.py."""

import struct

BLOCK_SIZE = 16
SEED = 1337
ENGINE_HASH_MASK = 0x5A5A5A5A5A5A5A5A  # engine hashes must not be the router's own
# Storage tier -> what vLLM calls the medium.
MEDIUM = {"device": "GPU", "host_pinned": "CPU_TIER1", "disk": "CPU_TIER2"}


def tokens_of(path, tail):
    """The prompt of a path of block ids; a tail of fewer than BLOCK_SIZE tokens is no block."""
    tokens = [block * BLOCK_SIZE + i for block in path for i in range(BLOCK_SIZE)]
    return tokens + [1_000_000 + i for i in range(tail)]


def engine_hashes(path):
    import xxhash

    hashes, previous = [], None
    for block in path:
        data = struct.pack(f"<{BLOCK_SIZE}I", *(block * BLOCK_SIZE + i for i in range(BLOCK_SIZE)))
        local = xxhash.xxh3_64_intdigest(data, SEED)
        previous = local if previous is None else xxhash.xxh3_64_intdigest(struct.pack("<QQ", previous, local), SEED)
        hashes.append(previous ^ ENGINE_HASH_MASK)
    return hashes


class Publisher:
    """One engine's ZeroMQ event socket."""

    def __init__(self, context):
        import zmq

        self.socket = context.socket(zmq.PUB)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.sequence = 0

    def send(self, rank, event):
        import msgspec

        batch = msgspec.msgpack.encode([0.0, [event], rank])
        self.socket.send_multipart([b"", struct.pack(">Q", self.sequence), batch])
        self.sequence += 1

    def stored(self, rank, path, start, tier="device"):
        hashes = engine_hashes(path)
        parent = hashes[start - 1] if start > 0 else None
        self.send(rank, ["BlockStored", hashes[start:], parent, tokens_of(path[start:], 0), BLOCK_SIZE, None, MEDIUM[tier]])

    def removed(self, rank, path, start, end, tier="device"):
        self.send(rank, ["BlockRemoved", engine_hashes(path)[start:end], MEDIUM[tier]])

    def cleared(self, rank):
        self.send(rank, ["AllBlocksCleared"])


def events_endpoint(port, ranks):
    endpoint = f"tcp://127.0.0.1:{port}"
    return {"kv_events_endpoint": endpoint} if ranks == 1 else {"kv_events_endpoints": {rank: endpoint for rank in range(ranks)}}
