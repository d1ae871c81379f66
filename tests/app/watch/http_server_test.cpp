// The server under clients that do what they should not.
#include "app/watch/http_server.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/http_client.h"

using namespace uvic::app;
using namespace uvic::test;

namespace {

HttpResponse echo(const HttpRequest& request) {
  if (request.path == "/throw") throw std::runtime_error("a secret of the server");
  if (request.path == "/large") return {200, "text/plain", std::string(8 << 20, 'x')};
  HttpResponse response;
  response.headers = {{"X-Own", "yes"}};
  response.body = request.method + " " + request.path + " " + request.at("a") + " " + request.host +
                  " " + request.body;
  if (request.path == "/follow")
    response.next = [number = 0](std::string& part) mutable {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      part = "part " + std::to_string(number++) + "\n";
      return true;
    };
  return response;
}

double seconds_taken(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("watch server: answers, decodes and closes", "[watch][server]") {
  HttpServer server("127.0.0.1", 0, echo);
  server.start();
  CHECK(server.port() > 0);
  const auto response = http_get(server.port(), "/a%20b?a=1%2B2&b=3");
  CHECK(response.status == 200);
  CHECK(response.body == "GET /a b 1+2 localhost:" + std::to_string(server.port()) + " ");
  CHECK_THAT(response.head, Catch::Contains("X-Own: yes") && Catch::Contains("Connection: close"));
  const auto post = http_exchange(
      server.port(), "POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
  CHECK(post.body == "POST /p  localhost body");
  const auto head = http_exchange(server.port(), "HEAD /p HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  const auto failed = http_get(server.port(), "/throw");
  CHECK(failed.status == 500);
  CHECK_THAT(failed.body, !Catch::Contains("secret"));
  CHECK(http_get(server.port(), "/large").body.size() == 8 << 20);
  CHECK_THROWS_WITH(HttpServer("127.0.0.1", server.port(), echo), Catch::Contains("can't listen"));
  CHECK_THROWS_WITH(HttpServer("no.such.host.invalid", 0, echo), Catch::Contains("can't listen"));
}

TEST_CASE("watch server: malformed requests get 4xx or 505, and nothing else", "[watch][server]") {
  std::atomic<int> reached{0};
  HttpServer server("127.0.0.1", 0, [&](const HttpRequest& request) {
    ++reached;
    return echo(request);
  });
  server.start();
  const std::string host = "Host: localhost\r\n";
  for (const auto& [bytes, status] : std::vector<std::pair<std::string, int>>{
           {"GET / HTTP/1.1\r\n\r\n", 400},
           {"GET /\r\n\r\n", 400},
           {"GET / HTTP/9.9\r\n" + host + "\r\n", 505},
           {"BREW / HTTP/1.1\r\n" + host + "\r\n", 405},
           {"\x16\x03\x01\x02", 400},
           {"\r\n\r\n", 400},
           {std::string("\0\0\0\0", 4), 400},
           {"GET / HTTP/1.1\r\n" + host + "A: " + std::string(20'000, 'a'), 431},
           {"GET /" + std::string(3000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
           {"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411},
           {"POST / HTTP/1.1\r\n" + host + "Content-Length: 70000\r\n\r\n", 413},
           {fmt::format("GET / HTTP/1.1\r\n{0}\r\nGET /second HTTP/1.1\r\n{0}\r\n", host), 400}}) {
    INFO(bytes.substr(0, 60));
    CHECK(http_exchange(server.port(), bytes).status == status);
  }
  CHECK(reached == 0);
  CHECK(http_get(server.port(), "/ok").status == 200);
}

TEST_CASE("watch server: slow and silent clients are left after a while", "[watch][server]") {
  HttpLimits limits;
  limits.request_seconds = 0.5;
  limits.response_seconds = 0.5;
  limits.bytes_per_second = 1e9;
  limits.connections = 16;
  HttpServer server("127.0.0.1", 0, echo, limits);
  server.start();
  RawConnection silent(server.port());
  CHECK(seconds_taken([&] { CHECK(silent.receive(20).empty()); }) < 10);
  // A byte now and then does not prolong it.
  RawConnection slow(server.port());
  std::string answer;
  CHECK(seconds_taken([&] {
          for (const char c : std::string("GET / HTTP/1.1\r\nHost: a")) {
            if (!slow.send(std::string(1, c))) break;
            answer = slow.receive(0.1);
            if (!answer.empty()) break;
          }
        }) < 10);
  CHECK_THAT(answer, Catch::Contains("408"));
  // One that does not read is left too: its place is free again.
  std::vector<std::unique_ptr<RawConnection>> deaf;
  for (int i = 0; i < 16; ++i) {
    deaf.push_back(std::make_unique<RawConnection>(server.port()));
    deaf.back()->send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  int status = 0;
  for (int i = 0; i < 200 && status != 200; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    status = http_get(server.port(), "/").status;
  }
  CHECK(status == 200);
}

TEST_CASE("watch server: one connection too many is told so at once", "[watch][server]") {
  HttpLimits limits;
  limits.connections = 8;
  HttpServer server("127.0.0.1", 0, echo, limits);
  server.start();
  std::vector<std::unique_ptr<RawConnection>> followers;
  for (int i = 0; i < 8; ++i) {
    followers.push_back(std::make_unique<RawConnection>(server.port()));
    followers.back()->send("GET /follow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_THAT(followers.back()->receive(20, "part 3"), Catch::Contains("part 3"));
  }
  CHECK(http_get(server.port(), "/").status == 503);
  followers.clear();
  int status = 503;  // until the server has seen that they are gone
  for (int i = 0; i < 200 && status != 200; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    status = http_get(server.port(), "/").status;
  }
  CHECK(status == 200);
  // The end of the server ends its followers.
  RawConnection last(server.port());
  last.send("GET /follow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  last.receive(20, "part 1");
  CHECK(seconds_taken([&] { server.stop(); }) < 10);
}
