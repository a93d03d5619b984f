#include "io_context.h"

#include <cerrno>

namespace dynamo_labs::transfer {

UcxWorker* IoContext::ucxWorker(std::string& why) {
  if (ucx) return ucx.get();
  const UcxLibrary& library = UcxLibrary::get();
  if (!library.functions) {
    why = "UCX is not installed: " + library.missing;
    return nullptr;
  }
  try {
    ucx = std::make_unique<UcxWorker>(poller, library);
  } catch (const std::runtime_error& error) {
    why = error.what();
  }
  return ucx.get();
}

std::unique_ptr<ByteStream> IoContext::dial(const Address& address, Poller& of, int& err) {
  if (address.is_ucx) {
    std::string why;
    UcxWorker* worker = ucxWorker(why);
    std::unique_ptr<ByteStream> stream = worker ? worker->connect(address) : nullptr;
    err = stream ? 0 : ECONNREFUSED;
    return stream;
  }
  UniqueFd fd = connectTo(address, err);
  return fd.valid() ? std::make_unique<SocketStream>(of, std::move(fd)) : nullptr;
}

} // namespace dynamo_labs::transfer
