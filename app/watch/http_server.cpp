#include "app/watch/http_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "app/watch/http_connection.h"

namespace uvic::app {
namespace {

/// Set on the thread that accepts while it hands over a connection that is one too many.
thread_local bool is_one_too_many = false;

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

/// A thread for each connection, up to a number.
class ConnectionThreads : public httplib::TaskQueue {
 public:
  // bool since 0.15; false would mean that the connection was not taken.
  using Queued = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>()));

  explicit ConnectionThreads(int64_t most) : most_(most) {}

  Queued enqueue(std::function<void()> serve) override {
    {
      const std::lock_guard lock(mutex_);
      is_one_too_many = open_ >= most_;
      if (!is_one_too_many) ++open_;
    }
    if (is_one_too_many || !starts(serve)) {
      serve();  // which says so and closes
      is_one_too_many = false;
    }
    return Queued(true);
  }

  void shutdown() override {
    std::unique_lock lock(mutex_);
    closed_.wait(lock, [&] { return open_ == 0; });
  }

 private:
  bool starts(const std::function<void()>& serve) {
    try {
      std::thread([this, serve] {
        serve();
        const std::lock_guard lock(mutex_);
        --open_;
        closed_.notify_all();
      }).detach();
      return true;
    } catch (const std::system_error&) {  // no more threads
      const std::lock_guard lock(mutex_);
      --open_;
      return !(is_one_too_many = true);
    }
  }

  std::mutex mutex_;
  std::condition_variable closed_;
  const int64_t most_;
  int64_t open_ = 0;
};

/// What httplib reads of a request that was received whole and checked, and where it writes.
class CheckedStream : public httplib::Stream {
 public:
  CheckedStream(int socket, std::string request, const HttpLimits& limits)
      : socket_(socket), request_(std::move(request)), limits_(limits) {}

  bool is_readable() const override { return position_ < request_.size(); }
  bool is_writable() const override { return !has_gone(socket_); }
  ssize_t read(char* to, size_t size) override {
    const size_t count = std::min(size, request_.size() - position_);
    std::copy_n(request_.data() + position_, count, to);
    position_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* bytes, size_t size) override {
    const auto seconds =
        limits_.response_seconds + static_cast<double>(size) / limits_.bytes_per_second;
    return send_all(socket_, bytes, size, WatchClock::now() + milliseconds_of(seconds))
               ? static_cast<ssize_t>(size)
               : -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return socket_; }

 private:
  const int socket_;
  const std::string request_;
  size_t position_ = 0;
  const HttpLimits& limits_;
};

}  // namespace

std::string HttpRequest::at(const std::string& key) const {
  const auto found = query.find(key);
  return found == query.end() ? "" : found->second;
}

class HttpServer::Impl : public httplib::Server {
 public:
  Impl(const std::string& host, int64_t port, HttpServer::Handler handler, HttpLimits limits)
      : handler_(std::move(handler)), limits_(limits) {
    new_task_queue = [this] { return new ConnectionThreads(limits_.connections); };
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      answer(request, response);
      return HandlerResponse::Handled;
    });
    // No two servers at one port: httplib's own default shares it.
    set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    errno = 0;
    port_ = port == 0 ? bind_to_any_port(host)
                      : (bind_to_port(host, static_cast<int>(port)) ? static_cast<int>(port) : -1);
    if (port_ < 0)
      throw std::runtime_error(fmt::format(
          "--host {} --port {}: can't listen there: {}",
          host,
          port,
          errno == EADDRINUSE ? "another program uses this port; --port 0 takes a free one"
          : errno == EACCES   ? "ports below 1024 are for the system; give a higher one"
                              : "no address of this machine"));
    // httplib's backlog of 5 loses connections where many browsers come back at once.
    ::listen(svr_sock_, 256);
  }

  int64_t port() const { return port_; }

  void start() {
    thread_ = std::thread([this] {
      listen_after_bind();
      has_ended_ = true;
    });
  }

  void end() {
    is_stopping_ = true;
    if (!thread_.joinable()) return;
    while (!is_running() && !has_ended_) std::this_thread::yield();
    stop();
    thread_.join();
  }

 private:
  bool process_and_close_socket(socket_t socket) override {
    RequestHead head;
    std::string body;
    const int refusal =
        is_one_too_many
            ? 503
            : receive_request(socket,
                              WatchClock::now() + milliseconds_of(limits_.request_seconds),
                              HeadLimits(),
                              head,
                              body);
    if (refusal != 0) {
      refuse(socket, refusal);
      return false;
    }
    serve(socket, head, body);
    close_politely(socket);
    return true;
  }

  static void refuse(int socket, int status) {
    if (status > 0) {
      const auto text = fmt::format(
          "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: "
          "nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}\n",
          status,
          status_text(status),
          std::strlen(status_text(status)) + 1,
          status_text(status));
      send_all(socket, text.data(), text.size(), WatchClock::now() + std::chrono::seconds(1));
    }
    if (status == 503) {  // on the thread that accepts: no waiting
      char unread[4096];
      while (::recv(socket, unread, sizeof unread, MSG_DONTWAIT) > 0) {
      }
      ::close(socket);
    } else {
      close_politely(socket);
    }
  }

  void serve(int socket, const RequestHead& head, const std::string& body) {
    // httplib sees nothing of the client's headers but what the handler needs.
    CheckedStream stream(socket,
                         fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                                     head.method,
                                     head.target,
                                     head.host),
                         limits_);
    bool closed = false;
    const std::function<void(httplib::Request&)> set_up = [&](httplib::Request& request) {
      request.body = body;
      request.set_header("X-Origin", head.origin);
      request.set_header("X-Fetch-Site", head.fetch_site);
      request.set_header("X-Last-Event-ID", head.last_event_id);
    };
    process(*this, stream, closed, set_up, 0);
  }

  // Up to httplib 0.15, and later: the addresses became arguments.
  template <class Self, class SetUp>
  static auto process(Self& self, httplib::Stream& stream, bool& closed, const SetUp& set_up, int)
      -> decltype(self.process_request(stream, true, closed, set_up)) {
    return self.process_request(stream, true, closed, set_up);
  }
  template <class Self, class SetUp>
  static auto process(Self& self, httplib::Stream& stream, bool& closed, const SetUp& set_up, long)
      -> decltype(self.process_request(stream, "", 0, "", 0, true, closed, set_up)) {
    return self.process_request(stream, "", 0, "", 0, true, closed, set_up);
  }

  void answer(const httplib::Request& from, httplib::Response& to) {
    HttpRequest request;
    request.method = from.method;
    request.path = from.path;
    for (const auto& [key, value] : from.params) request.query.emplace(key, value);
    request.host = from.get_header_value("Host");
    request.origin = from.get_header_value("X-Origin");
    request.fetch_site = from.get_header_value("X-Fetch-Site");
    request.last_event_id = from.get_header_value("X-Last-Event-ID");
    request.body = from.body;
    HttpResponse response;
    try {
      response = handler_(request);
    } catch (const std::exception&) {
      response = {500};
      response.body = "the server failed\n";
    }
    to.status = response.status;
    for (const auto& [name, value] : response.headers) to.set_header(name.c_str(), value);
    if (!response.next) return to.set_content(response.body, response.type.c_str());
    to.set_chunked_content_provider(response.type.c_str(),
                                    [this, next = response.next](size_t, httplib::DataSink& sink) {
                                      std::string part;
                                      while (part.empty()) {
                                        if (is_stopping_ || !sink.is_writable() || !next(part))
                                          return false;
                                      }
                                      return sink.write(part.data(), part.size());
                                    });
  }

  const HttpServer::Handler handler_;
  const HttpLimits limits_;
  int port_ = -1;
  std::thread thread_;
  std::atomic<bool> is_stopping_{false}, has_ended_{false};
};

HttpServer::HttpServer(const std::string& host, int64_t port, Handler handler, HttpLimits limits)
    : impl_(std::make_unique<Impl>(host, port, std::move(handler), limits)) {}
HttpServer::~HttpServer() { stop(); }
int64_t HttpServer::port() const { return impl_->port(); }
void HttpServer::start() { impl_->start(); }
void HttpServer::stop() { impl_->end(); }

}  // namespace uvic::app
