#pragma once
#include <sys/socket.h>

#include <functional>

namespace dynamo_labs::transfer {

/**
 * Makes this process's TCP listener at an address deaf, for where somebody else's code owns its descriptor: who connects from now on gets no answer, and
 * is refused once the listener is closed. Returns when that code has accepted and read everybody who came before, or after `longest` ns; `turn` is
 * called meanwhile. Without effect where there is no such listener.
 */
void ignoreConnections(const sockaddr_storage& listener, int64_t longest, const std::function<void()>& turn);

} // namespace dynamo_labs::transfer
