// A TCP connection that carries short messages and never blocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace uvic::base {

using Clock = std::chrono::steady_clock;

struct Message {
  char type = 0;
  std::string text;
};

/// On the wire a message is its length (4 bytes, little endian, at most 64 KiB), its type and its
/// text. Not safe for several threads at once.
class MessageSocket {
 public:
  /// Takes a connected descriptor and closes it at the end.
  explicit MessageSocket(int descriptor);
  ~MessageSocket();
  MessageSocket(const MessageSocket&) = delete;
  MessageSocket& operator=(const MessageSocket&) = delete;

  int descriptor() const { return descriptor_; }
  /// Whether the other side has closed, or sends what is no message.
  bool is_closed() const { return closed_; }
  bool has_unsent() const { return !unsent_.empty(); }

  /// Sends as much as the connection takes now; flush() sends the rest.
  void send(char type, const std::string& text);
  void flush();
  /// The messages that have arrived whole.
  std::vector<Message> receive();
  /// No more messages from this side; the other then sees the end.
  void end_sending();

  /// Numeric addresses of both ends.
  std::string own_address() const;
  std::string peer_address() const;

 private:
  int descriptor_;
  bool closed_ = false;
  std::string received_, unsent_;
};

/// A listening socket at `host` ("" for every interface), or at a free port for port 0. Throws
/// std::runtime_error where the port is taken.
int listen_at(const std::string& host, int64_t port);
int64_t port_of(int listening);
/// A connection that waits there, or -1.
int accept_one(int listening);
/// A connection to host:port, or -1 and `error` if there is none by `deadline`.
int connect_to(const std::string& host,
               int64_t port,
               Clock::time_point deadline,
               std::string& error);
bool is_loopback(const std::string& address);

}  // namespace uvic::base
