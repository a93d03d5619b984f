"""Runs Dynamo's own offline replay on a trace, for test/bench/replay.ts; prints one JSON object per router mode.

    python replay_dynamo.py trace.jsonl WORKERS BLOCKS_PER_WORKER
"""

import json
import os
import sys
import time


def main():
    os.environ.setdefault("DYN_LOG", "error")
    from dynamo._core import KvRouterConfig, run_mocker_trace_replay

    trace, workers, blocks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    engine = {"engine": {"backend": "vllm", "block_size": 64, "num_gpu_blocks": blocks}}
    reports = {}
    for mode, config in (("round_robin", None), ("kv_router", KvRouterConfig())):
        start = time.process_time()
        result = run_mocker_trace_replay(
            [trace], num_workers=workers, router_mode=mode, router_config=config, trace_block_size=512, extra_engine_args=engine
        )
        seconds = time.process_time() - start
        reports[mode] = {
            "seconds": seconds,
            "reuse": result.summary["prefix_cache_reused_ratio"],
            "ttft_mean_ms": result.summary["mean_ttft_ms"],
            "requests": result.summary["completed_requests"],
        }
    print("\n" + json.dumps(reports))


if __name__ == "__main__":
    main()
