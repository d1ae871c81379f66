#include "base/message_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace uvic::base {
namespace {

constexpr size_t kMostBytes = 65536;
constexpr size_t kHeader = 5;

std::string numeric_address(int descriptor, decltype(getsockname)* of) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST] = {};
  if (of(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address),
                  size,
                  host,
                  sizeof host,
                  nullptr,
                  0,
                  NI_NUMERICHOST) != 0)
    return "";
  const std::string text = host;
  constexpr const char* kMapped = "::ffff:";  // an IPv4 peer of a socket for both
  return text.rfind(kMapped, 0) == 0 ? text.substr(std::strlen(kMapped)) : text;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses addresses_of(const std::string& host, int64_t port, int flags, std::string& error) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const int code = getaddrinfo(
      host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (code != 0) error = gai_strerror(code);
  return Addresses(code == 0 ? list : nullptr);
}

int new_socket(const addrinfo& address) {
  return ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/// One attempt of at most two seconds; 0 or what failed.
int connect_now(int descriptor, const addrinfo& address, Clock::time_point deadline) {
  if (::connect(descriptor, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd ready = {descriptor, POLLOUT, 0};
  const int timeout_ms = static_cast<int>(std::clamp<int64_t>(left, 0, 2000));
  if (::poll(&ready, 1, timeout_ms) <= 0) return ETIMEDOUT;
  int code = 0;
  socklen_t size = sizeof code;
  return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno;
}

}  // namespace

MessageSocket::MessageSocket(int descriptor) : descriptor_(descriptor) {
  fcntl(descriptor_, F_SETFL, fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

MessageSocket::~MessageSocket() { ::close(descriptor_); }

void MessageSocket::send(char type, const std::string& text) {
  const auto size = static_cast<uint32_t>(std::min(text.size(), kMostBytes));
  for (int shift = 0; shift < 32; shift += 8) unsent_ += static_cast<char>(size >> shift);
  unsent_ += type;
  unsent_.append(text, 0, size);
  flush();
}

void MessageSocket::flush() {
  while (!unsent_.empty() && !closed_) {
    const auto sent = ::send(descriptor_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    // What the other side sent before it closed can still be read.
    if (sent <= 0) return unsent_.clear();
    unsent_.erase(0, static_cast<size_t>(sent));
  }
}

std::vector<Message> MessageSocket::receive() {
  char bytes[4096];
  while (!closed_) {
    const auto count = ::recv(descriptor_, bytes, sizeof bytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (count <= 0) closed_ = true;
    if (count > 0) received_.append(bytes, static_cast<size_t>(count));
    if (received_.size() > 4 * kMostBytes) break;
  }
  std::vector<Message> messages;
  while (received_.size() >= kHeader) {
    uint32_t size = 0;
    for (int i = 3; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(received_[i]);
    if (size > kMostBytes) {  // a stranger
      closed_ = true;
      received_.clear();
      break;
    }
    if (received_.size() < kHeader + size) break;
    messages.push_back({received_[4], received_.substr(kHeader, size)});
    received_.erase(0, kHeader + size);
  }
  return messages;
}

void MessageSocket::end_sending() { ::shutdown(descriptor_, SHUT_WR); }
std::string MessageSocket::own_address() const { return numeric_address(descriptor_, getsockname); }
std::string MessageSocket::peer_address() const {
  return numeric_address(descriptor_, getpeername);
}

int listen_at(const std::string& host, int64_t port) {
  std::string error;
  const auto list = addresses_of(host, port, AI_PASSIVE, error);
  // An IPv6 socket of every interface serves IPv4 too.
  for (const int family : {AF_INET6, AF_INET})
    for (const auto* address = list.get(); address; address = address->ai_next) {
      if (address->ai_family != family) continue;
      const int descriptor = new_socket(*address);
      if (descriptor < 0) continue;
      const int on = 1, off = 0;
      setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      if (::bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 &&
          ::listen(descriptor, 1024) == 0)
        return descriptor;
      error = std::strerror(errno);
      ::close(descriptor);
    }
  throw std::runtime_error(
      fmt::format("can't listen at {}{}port {}: {}", host, host.empty() ? "" : " ", port, error));
}

int64_t port_of(int listening) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  if (getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  // Both families have it in the same place.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

int accept_one(int listening) { return ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC); }

int connect_to(const std::string& host,
               int64_t port,
               Clock::time_point deadline,
               std::string& error) {
  const auto list = addresses_of(host, port, 0, error);
  for (const auto* address = list.get(); address; address = address->ai_next) {
    const int descriptor = new_socket(*address);
    if (descriptor < 0) continue;
    const int code = connect_now(descriptor, *address, deadline);
    if (code == 0) return descriptor;
    error = std::strerror(code);
    ::close(descriptor);
  }
  return -1;
}

bool is_loopback(const std::string& address) {
  return address.rfind("127.", 0) == 0 || address == "::1";
}

}  // namespace uvic::base
