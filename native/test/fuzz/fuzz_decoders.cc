// libFuzzer target for everything that is decoded from a peer. The first byte chooses the decoder. With files as arguments and no libFuzzer
// (-DDYNAMO_LABS_PRINT) it prints one line per file instead: what was decoded, for the differential test against the TypeScript decoders.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "transfer/frame.h"
#include "transfer/handshake.h"
#include "transfer/metadata.h"
#include "transfer/push_order.h"

using namespace dynamo_labs::transfer;

static std::string hex(const std::string& text) {
  std::string out;
  char two[3];
  for (const unsigned char c : text) std::snprintf(two, sizeof(two), "%02x", c), out += two;
  return out;
}

static std::string identity(const Identity& one) { return hex(one.name) + " " + std::to_string(one.epoch) + " " + hex(one.fingerprint); }

static std::string decode(const uint8_t* data, size_t bytes) {
  if (bytes == 0) return "empty";
  const uint8_t kind = *data++ % 6;
  bytes--;
  if (kind == 0) {
    FrameHeader header;
    if (bytes < kHeaderBytes) return "short";
    const FrameError error = decodeHeader(data, header);
    if (error != FrameError::None) return std::string("no: ") + name(error);
    return "frame " + std::to_string(static_cast<int>(header.type)) + " " + std::to_string(header.flags) + " " + std::to_string(header.transfer) + " " + std::to_string(header.aux) + " " +
           std::to_string(header.sequence) + " " + std::to_string(header.length) + " " + std::to_string(header.payload_hash);
  }
  if (kind == 1) {
    const auto one = decodeChallenge(data, bytes);
    return one ? "challenge " + identity(one->owner) + " " + hex({one->nonce.begin(), one->nonce.end()}) : "no";
  }
  if (kind == 2) {
    const auto one = decodeHello(data, bytes);
    return one ? "hello " + identity(one->reader) + " " + std::to_string(one->expected_epoch) + " " + std::to_string(static_cast<int>(one->channel)) + " " + hex({one->nonce.begin(), one->nonce.end()}) + " " +
                     hex({one->proof.begin(), one->proof.end()})
               : "no";
  }
  if (kind == 3) {
    const auto one = decodeRefusal(data, bytes);
    return one ? "refusal " + std::to_string(static_cast<int>(one->code)) + " " + hex(one->reason) : "no";
  }
  if (kind == 4) {
    const auto one = decodeMetadata(data, bytes);
    if (!one) return "no";
    std::string out = "metadata " + identity(one->identity);
    for (const std::string& address : one->addresses) out += " " + hex(address);
    for (const PoolInfo& pool : one->pools) out += " " + std::to_string(pool.id) + "/" + std::to_string(pool.bytes) + "/" + std::to_string(pool.block_bytes);
    return out;
  }
  const auto one = decodePushOrder(data, bytes);
  return one ? "push " + hex(one->writer) + " " + std::to_string(one->pieces.size()) : "no";
}

#if defined(DYNAMO_LABS_PRINT)
int main(int count, char** files) {
  for (int i = 1; i < count; i++) {
    std::ifstream in(files[i], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::printf("%s\n", decode(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()).c_str());
  }
}
#else
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  decode(data, bytes);
  return 0;
}
#endif
