// Requests by a raw socket: also such as no HTTP library would send.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>

namespace uvic::test {

/// A connection to a port of this machine.
class RawConnection {
 public:
  explicit RawConnection(int64_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_open_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawConnection() { ::close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool is_open() const { return is_open_; }
  bool send(const std::string& bytes) const {
    return ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  void end_sending() const { ::shutdown(socket_, SHUT_WR); }

  /// All that comes until `until` is in it, the other side closes, or the time is over.
  std::string receive(double seconds, const std::string& until = "") {
    const auto deadline = std::chrono::steady_clock::now() +
                          std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
    while (until.empty() || text_.find(until) == std::string::npos) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      pollfd wanted{socket_, POLLIN, 0};
      char bytes[65536];
      if (left.count() <= 0 || ::poll(&wanted, 1, static_cast<int>(left.count())) <= 0) break;
      const auto count = ::recv(socket_, bytes, sizeof bytes, 0);
      if (count <= 0) break;
      text_.append(bytes, static_cast<size_t>(count));
    }
    return text_;
  }

 private:
  int socket_;
  bool is_open_ = false;
  std::string text_;
};

struct RawResponse {
  int status = 0;  ///< 0: none
  std::string head, body;
};

/// Sends the bytes and reads to the end of the connection.
inline RawResponse http_exchange(int64_t port, const std::string& bytes, double seconds = 20) {
  RawConnection connection(port);
  connection.send(bytes);
  const auto text = connection.receive(seconds);
  RawResponse response;
  if (text.rfind("HTTP/1.1 ", 0) == 0) response.status = std::stoi(text.substr(9, 3));
  const auto end = text.find("\r\n\r\n");
  response.head = text.substr(0, end);
  if (end != std::string::npos) response.body = text.substr(end + 4);
  return response;
}

inline RawResponse http_get(int64_t port, const std::string& target, const std::string& more = "") {
  return http_exchange(port,
                       "GET " + target + " HTTP/1.1\r\nHost: localhost:" + std::to_string(port) +
                           "\r\n" + more + "\r\n");
}

}  // namespace uvic::test
