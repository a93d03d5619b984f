"""Answers for Dynamo's RadixTree (ai-dynamo-runtime 1.6.1): a scenario per line on stdin, its answers per line on stdout. The line
`"version"` asks for the wheel's.

A scenario is a list of operations as in dynamoRadixTreeScenario.ts; each begins with an empty tree. Hashes are small numbers here
and spread over 64 bits on both sides. The answer to `f` is a sorted list of [worker, dp rank, blocks]; to anything else
it is "" or the tree's error in words.
"""

import importlib.metadata
import json
import os
import sys

SPREAD = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def spread(number):
    return number * SPREAD & MASK


class Tree:
    def __init__(self):
        from dynamo._core import RadixTree

        self.tree = RadixTree()
        self.events = 0

    def publish(self, worker, rank, data):
        event = {"event_id": self.events, "dp_rank": rank, "data": data}
        self.events += 1
        try:
            self.tree.apply_event(worker, json.dumps(event).encode())
        except RuntimeError as error:
            return str(error).removeprefix("Failed to apply event: ")
        return ""

    def answer(self, operation):
        kind, *rest = operation
        if kind == "s":
            worker, rank, parent, blocks = rest
            stored = [{"block_hash": spread(engine), "tokens_hash": spread(local)} for engine, local in blocks]
            return self.publish(worker, rank, {"stored": {"parent_hash": None if parent is None else spread(parent), "blocks": stored}})
        if kind == "r":
            worker, rank, engines, _ = rest
            return self.publish(worker, rank, {"removed": {"block_hashes": [spread(engine) for engine in engines]}})
        if kind == "c":
            worker, rank = rest
            return self.publish(worker, rank, "cleared")
        if kind == "x":
            self.tree.remove_worker(rest[0])
            return ""
        found = self.tree.find_matches([spread(local) for local in rest[0]])
        if any(found.frequencies):
            raise ValueError(f"frequencies {found.frequencies}: 1.6.1 leaves them empty, so nothing compares them")
        return sorted([worker, rank, score] for (worker, rank), score in found.scores.items())


def main():
    os.environ["DYN_LOG"] = "off"
    for line in sys.stdin:
        question = json.loads(line)
        if question == "version":
            answer = importlib.metadata.version("ai-dynamo-runtime")
        else:
            tree = Tree()
            answer = [tree.answer(operation) for operation in question]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
