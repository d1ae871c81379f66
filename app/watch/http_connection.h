// One connection of the server: its request read within bounds, its response written within a time.
#pragma once

#include <chrono>
#include <string>

#include "app/watch/request_head.h"

namespace uvic::app {

using WatchClock = std::chrono::steady_clock;

/// Reads a whole request from a connected socket. Returns 0, or the status of the refusal: those of
/// read_request_head(), or 408 where it has not arrived by `deadline`; -1 where the client closed
/// before it sent anything.
int receive_request(int socket,
                    WatchClock::time_point deadline,
                    const HeadLimits& limits,
                    RequestHead& head,
                    std::string& body);

/// Sends all of it by `deadline`; false where the client closed or takes too long.
bool send_all(int socket, const char* bytes, size_t size, WatchClock::time_point deadline);

/// Whether the other side has closed, or sends more than its one request.
bool has_gone(int socket);

/// Closes so that what was sent arrives: closing with unread input would make the kernel reset the
/// connection. Waits at most a second for the client to close.
void close_politely(int socket);

/// "Not Found" of 404.
const char* status_text(int status);

}  // namespace uvic::app
