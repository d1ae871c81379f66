// An HTTP server for a page that a few people watch: cpp-httplib with bounds on what a client may
// do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace uvic::app {

struct HttpRequest {
  std::string method, path;  ///< the path percent-decoded
  std::map<std::string, std::string> query;
  std::string host, origin, fetch_site, last_event_id, body;

  /// The value of a key of the query, or "".
  std::string at(const std::string& key) const;
};

/// Waits for the next part of a response that never ends, at most a few seconds, and returns it;
/// "" where nothing came; false where the response ends.
using NextPart = std::function<bool(std::string& part)>;

struct HttpResponse {
  int status = 200;
  std::string type = "text/plain; charset=utf-8", body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  NextPart next = {};  ///< instead of the body
};

struct HttpLimits {
  int64_t connections = 256;            ///< at once; further ones get 503 at once
  double request_seconds = 10;          ///< for the whole request to arrive, else 408
  double response_seconds = 10;         ///< for a part of a response to be taken, and besides
  double bytes_per_second = 256 << 10;  ///< as long as it takes at this rate
};

/// Serves `handler`, on a thread for each connection, one request a connection. A handler that
/// throws is a 500 without a word of why. Requests that are malformed, too long or too slow never
/// reach it (request_head.h).
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  /// Binds; port 0 is a free one. Throws std::runtime_error where that fails.
  HttpServer(const std::string& host, int64_t port, Handler handler, HttpLimits limits = {});
  ~HttpServer();  ///< stops

  int64_t port() const;
  void start();
  /// Ends all connections; `next` of a response must not wait longer than a few seconds.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uvic::app
