#pragma once
#include <sys/socket.h>

#include <functional>

namespace dynamo_labs::transfer {

/**
 * Ends what comes in at one of this process's TCP listeners, for where somebody else's code owns its descriptors: who connects from now on gets no answer
 * (and is refused once the listener is closed), and on the connections that were let in that code reads what has come, then the end. True when it has
 * closed all of them; false if it has not after `longest` ns. `turn` is called meanwhile. True at once where descriptors cannot be listed.
 */
bool endConnections(const sockaddr_storage& listener, int64_t longest, const std::function<void()>& turn);

} // namespace dynamo_labs::transfer
