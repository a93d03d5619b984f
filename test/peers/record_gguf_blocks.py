"""Random blocks of every quantised GGUF type and what the reference makes of them: backend/src/engine/testing/ggufBlocks.json.

    pip install gguf numpy
    python test/peers/record_gguf_blocks.py backend/src/engine/testing/ggufBlocks.json
"""

import base64
import json
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Byte offsets of each type's f16 scales, which must be finite.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}  # fmt: skip


def text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def main(path: str) -> None:
    random = np.random.default_rng(7)
    recorded = {}
    for name, offsets in SCALES.items():
        kind = GGMLQuantizationType[name]
        _, block_bytes = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, size=(2, block_bytes), dtype=np.uint8)
        for row in blocks:
            for at in offsets:
                row[at : at + 2] = np.frombuffer(np.float16(random.uniform(-0.05, 0.05)).tobytes(), dtype=np.uint8)
        recorded[name] = {"blocks": text(blocks), "values": text(dequantize(blocks, kind).astype(np.float32))}
    with open(path, "w") as file:
        json.dump(recorded, file, indent=1)


main(sys.argv[1])
