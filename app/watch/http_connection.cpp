#include "app/watch/http_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace uvic::app {
namespace {

/// Waits for `events`; false by the deadline.
bool wait_for(int socket, short events, WatchClock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - WatchClock::now());
    if (left.count() <= 0) return false;
    pollfd wanted{socket, events, 0};
    const int found = ::poll(&wanted, 1, static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) return false;
  }
}

/// Appends what has arrived, at most `most` bytes: 1, 0 where the client closed, -1 at the
/// deadline.
int receive_some(int socket, WatchClock::time_point deadline, size_t most, std::string& text) {
  char bytes[4096];
  while (true) {
    if (!wait_for(socket, POLLIN, deadline)) return -1;
    const auto count = ::recv(socket, bytes, std::min(most, sizeof bytes), MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return 0;
    text.append(bytes, static_cast<size_t>(count));
    return 1;
  }
}

}  // namespace

int receive_request(int socket,
                    WatchClock::time_point deadline,
                    const HeadLimits& limits,
                    RequestHead& head,
                    std::string& body) {
  std::string text;
  size_t end = std::string::npos;
  while (end == std::string::npos) {
    if (text.size() > limits.bytes) return 431;
    const size_t seen = text.size();
    const int got = receive_some(socket, deadline, sizeof(char) * 4096, text);
    if (got < 0) return text.empty() ? -1 : 408;
    if (got == 0) return text.empty() ? -1 : 400;
    // What can't become a request is refused before the rest of it is waited for.
    if (text[0] < 'A' || text[0] > 'Z') return 400;
    end = text.find("\r\n\r\n", seen < 3 ? 0 : seen - 3);
  }
  if (const int refusal = read_request_head({text.data(), end + 4}, limits, head)) return refusal;
  body = text.substr(end + 4);
  while (body.size() < head.body_bytes) {
    const int got = receive_some(socket, deadline, head.body_bytes - body.size(), body);
    if (got <= 0) return got < 0 ? 408 : 400;
  }
  return body.size() > head.body_bytes ? 400 : 0;  // more than its one request
}

bool send_all(int socket, const char* bytes, size_t size, WatchClock::time_point deadline) {
  while (size > 0) {
    const auto count = ::send(socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      bytes += count;
      size -= static_cast<size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (!wait_for(socket, POLLOUT, deadline)) return false;
  }
  return true;
}

bool has_gone(int socket) {
  char byte = 0;
  const auto count = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void close_politely(int socket) {
  ::shutdown(socket, SHUT_WR);
  const auto deadline = WatchClock::now() + std::chrono::seconds(1);
  std::string unread;
  while (unread.size() < (64 << 10) && receive_some(socket, deadline, 4096, unread) > 0) {
  }
  ::close(socket);
}

const char* status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

}  // namespace uvic::app
