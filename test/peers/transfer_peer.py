"""One process of another transfer engine, for the benchmark: `transfer_peer.py nixl|mooncake owner|reader BYTES`.

Commands come as JSON lines on stdin, answers go as JSON lines to the descriptor that was stdout (the engines log to stdout); it ends with its stdin.
The owner says where its memory is; the reader is told, reads lists of [remote offset, local offset, length], and checks what arrived.
"""

import base64
import json
import os
import sys
import time

import numpy

engine, role, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def answer(value):
    answers.write(json.dumps(value) + "\n")


def pattern():
    """Bytes that depend on their place."""
    return numpy.arange(size // 4, dtype=numpy.uint32) * numpy.uint32(2654435761)


class Nixl:
    def __init__(self):
        try:
            from nixl_cu12 import nixl_agent, nixl_agent_config
        except ImportError:
            from nixl._api import nixl_agent, nixl_agent_config
        # The owner needs a thread that makes progress; the reader polls, which leaves it the core that a second polling thread would take.
        self.agent = nixl_agent(role, nixl_agent_config(enable_prog_thread=role == "owner", backends=["UCX"]))

    def register(self, memory):
        self.base = memory.ctypes.data
        self.agent.register_memory([(self.base, size, 0, "")], "DRAM")
        return {"metadata": base64.b64encode(self.agent.get_agent_metadata()).decode(), "base": self.base}

    def meet(self, owner):
        self.remote = self.agent.add_remote_agent(base64.b64decode(owner["metadata"]))
        self.remote_base = owner["base"]

    def prepare(self, pieces):
        def side(name, base, column):
            rows = numpy.stack([pieces[:, column] + base, pieces[:, 2], numpy.zeros(len(pieces), numpy.int64)], axis=1).astype(numpy.uint64)
            return self.agent.prep_xfer_dlist(name, rows, "DRAM")

        local, remote = side("", self.base, 1), side(self.remote, self.remote_base, 0)
        every = numpy.arange(len(pieces), dtype=numpy.int32)
        return self.agent.make_prepped_xfer("READ", local, every, remote, every)

    def read(self, request):
        state = self.agent.transfer(request)
        while state == "PROC":
            state = self.agent.check_xfer_state(request)
        if state != "DONE":
            raise RuntimeError(f"NIXL: {state}")


class Mooncake:
    at_once = 1024

    def __init__(self):
        from mooncake.engine import TransferEngine

        self.engine = TransferEngine()
        if self.engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", "") != 0:
            raise RuntimeError("Mooncake: initialize failed")

    def register(self, memory):
        self.base = memory.ctypes.data
        if self.engine.register_memory(self.base, size) != 0:
            raise RuntimeError("Mooncake: register_memory failed")
        return {"target": f"127.0.0.1:{self.engine.get_rpc_port()}", "base": self.base}

    def meet(self, owner):
        self.target, self.remote_base = owner["target"], owner["base"]

    def prepare(self, pieces):
        # Its queue takes no more than so many at once; what is beyond is rejected and fails the whole batch.
        batches = [pieces[at : at + self.at_once] for at in range(0, len(pieces), self.at_once)]
        return [((one[:, 1] + self.base).tolist(), (one[:, 0] + self.remote_base).tolist(), one[:, 2].tolist()) for one in batches]

    def read(self, request):
        for batch in request:
            if self.engine.batch_transfer_sync_read(self.target, *batch) != 0:
                raise RuntimeError("Mooncake: read failed")


peer = {"nixl": Nixl, "mooncake": Mooncake}[engine]()
memory = pattern() if role == "owner" else numpy.full(size // 4, 0xEEEEEEEE, dtype=numpy.uint32)
answer(peer.register(memory))
lists = {}
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "meet":
        peer.meet(command["owner"])
        answer({})
    elif command["do"] == "list":
        pieces = numpy.array(command["pieces"], dtype=numpy.int64).reshape(-1, 3)
        lists[command["name"]] = (pieces, peer.prepare(pieces))
        answer({})
    elif command["do"] == "read":
        start = time.perf_counter()
        peer.read(lists[command["name"]][1])
        answer({"seconds": time.perf_counter() - start})
    elif command["do"] == "check":
        expected = pattern().view(numpy.uint8)
        arrived = memory.view(numpy.uint8)
        wrong = sum(1 for remote, local, length in lists[command["name"]][0] if not numpy.array_equal(expected[remote : remote + length], arrived[local : local + length]))
        memory[:] = 0xEEEEEEEE
        answer({"wrong": wrong})
