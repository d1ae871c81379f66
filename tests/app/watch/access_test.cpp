// Who may read the page, what a request must look like, and what a run is said to do.
#include "app/watch/access.h"

#include <fmt/format.h>

#include "app/watch/request_head.h"
#include "app/watch/run_state.h"
#include "tests/support/catch.h"

using namespace uvic::app;

namespace {

int status(const std::string& text) {
  RequestHead head;
  return read_request_head(text, HeadLimits(), head);
}

}  // namespace

TEST_CASE("watch: a token is equal in all its characters, and no token opens nothing", "[watch]") {
  CHECK(same_secret("0123abcd", "0123abcd"));
  for (const auto* wrong : {"", "0123abc", "0123abcde", "0123abcD", "1123abcd", "0123abcd0123abcd"})
    CHECK_FALSE(same_secret("0123abcd", wrong));
  CHECK_FALSE(same_secret("", ""));
  CHECK_FALSE(same_secret("", "x"));
}

TEST_CASE("watch: hosts are numeric addresses, localhost and the server's names", "[watch]") {
  const std::vector<std::string> names = {"gpu7", "gpu7.cluster"};
  for (const auto* own : {"127.0.0.1",
                          "127.0.0.1:8462",
                          "10.1.2.3:80",
                          "[::1]:8462",
                          "[fe80::1]",
                          "localhost",
                          "LocalHost:1",
                          "gpu7",
                          "GPU7.cluster:8462"})
    CHECK(is_own_host(own, names));
  for (const auto* other : {"",
                            ":8462",
                            "evil.example",
                            "evil.example:8462",
                            "localhost.evil.example",
                            "127.0.0.1.evil.example",
                            "gpu7.evil.example",
                            "localhost:",
                            "localhost:80x",
                            "[::1",
                            "[::1]8462",
                            "[evil]",
                            "localhost@evil.example"})
    CHECK_FALSE(is_own_host(other, names));
  CHECK(authority_of("http://localhost:1") == "localhost:1");
  CHECK(authority_of("null").empty());
  CHECK(authority_of("https://localhost").empty());
  CHECK(is_loopback_name("127.0.0.1"));
  CHECK(is_loopback_name("127.9.9.9"));
  CHECK(is_loopback_name("::1"));
  CHECK(is_loopback_name("localhost"));
  for (const auto* open : {"0.0.0.0", "::", "192.168.1.2", "gpu7", "localhost.evil.example"})
    CHECK_FALSE(is_loopback_name(open));
}

TEST_CASE("watch: a request is read with what is needed of it", "[watch]") {
  const std::string host = "Host: localhost\r\n", end = "\r\n";
  const HeadLimits limits;
  RequestHead head;
  CHECK(read_request_head("GET /a?b=c HTTP/1.1\r\nhOsT:  localhost:1 \r\nX-Other: \x80 y\r\n"
                          "Origin: http://localhost:1\r\nLast-Event-ID: 7\r\n\r\n",
                          limits,
                          head) == 0);
  CHECK(head.method == "GET");
  CHECK(head.target == "/a?b=c");
  CHECK(head.host == "localhost:1");
  CHECK(head.origin == "http://localhost:1");
  CHECK(head.last_event_id == "7");
  RequestHead post;
  CHECK(read_request_head(
            "POST / HTTP/1.0\r\n" + host + "Content-Length: 12\r\n" + end, limits, post) == 0);
  CHECK(post.body_bytes == 12);
}

TEST_CASE("watch: what is no request is refused", "[watch]") {
  const HeadLimits limits;
  const std::string host = "Host: localhost\r\n", end = "\r\n";
  for (const auto* line : {"",
                           "GET",
                           "GET /",
                           "GET  HTTP/1.1",
                           "GET / / HTTP/1.1",
                           " GET / HTTP/1.1",
                           "GET x HTTP/1.1",
                           "GET http://localhost/ HTTP/1.1",
                           "GET /\x01 HTTP/1.1",
                           "GET /\xc3\xa4 HTTP/1.1",
                           "G(T / HTTP/1.1",
                           "GET / FTP/1.1"})
    CHECK(status(fmt::format("{}\r\n{}{}", line, host, end)) == 400);
  for (const auto* header : {"no colon",
                             ": no name",
                             "Na me: x",
                             "Name : x",
                             " folded: x",
                             "Name: \x01",
                             "Name: a\nb",
                             "Host: other",
                             "Content-Length: ",
                             "Content-Length: -1",
                             "Content-Length: 1x",
                             "Origin: a b"})
    CHECK(status(fmt::format("GET / HTTP/1.1\r\n{}{}\r\n{}", host, header, end)) == 400);
  CHECK(status("GET / HTTP/1.1\r\n" + end) == 400);           // no host
  CHECK(status("GET / HTTP/1.1\r\nHost:\r\n" + end) == 400);  // an empty one
  CHECK(status("GET / HTTP/1.1\r\n" + host) == 400);          // no end
  CHECK(status("GET / HTTP/1.1\n" + host + end) == 400);
  CHECK(status("DELETE / HTTP/1.1\r\n" + host + end) == 405);
  CHECK(status("GET / HTTP/2.0\r\n" + host + end) == 505);
  CHECK(status("GET /" + std::string(limits.target_bytes, 'a') + " HTTP/1.1\r\n" + host + end) ==
        414);
  const auto with = [&](const std::string& header) {
    return status("POST / HTTP/1.1\r\n" + host + header + "\r\n" + end);
  };
  CHECK(with("Transfer-Encoding: chunked") == 411);
  CHECK(with("Content-Length: 65537") == 413);
  CHECK(with("Content-Length: 99999999999999999999999999") == 413);
  std::string many;
  for (size_t i = 0; i < limits.headers; ++i) many += "A: b\r\n";
  CHECK(status("GET / HTTP/1.1\r\n" + host + many + end) == 431);
  CHECK(with("A: " + std::string(limits.bytes, 'x')) == 431);
}

TEST_CASE("watch: the state of a run follows from its traces", "[watch]") {
  RunSigns signs;
  CHECK(run_state(signs).word == "waiting");
  signs.images_seen = 1000;
  signs.total_images = 3000;
  signs.images_per_sec = 100;
  CHECK(run_state(signs).word == "training");
  CHECK(run_state(signs).eta_sec == Approx(20));
  signs.images_per_sec = 0;
  CHECK(run_state(signs).eta_sec == -1);

  signs.usual_gap_sec = 10;
  signs.silent_sec = 59;
  CHECK(run_state(signs).word == "training");
  signs.silent_sec = 61;
  CHECK(run_state(signs).word == "silent");
  signs.usual_gap_sec = 20;  // four gaps are 80 s
  CHECK(run_state(signs).word == "training");
  signs.silent_sec = 81;
  CHECK(run_state(signs).word == "silent");
  signs.is_held = true;  // its process lives: a long score, say
  CHECK(run_state(signs).word == "training");
  signs.silent_sec = 601;
  CHECK(run_state(signs).word == "silent");

  signs.last_log_line = "stopped and saved at 1000 images after 9 s";
  CHECK(run_state(signs).word == "silent");  // of the launch before
  signs.is_held = false;
  CHECK(run_state(signs).word == "stopped");
  signs.last_log_line = "finished at 1000 images after 9 s";
  CHECK(run_state(signs).word == "finished");
  signs.last_log_line.clear();
  signs.images_seen = 3000;
  CHECK(run_state(signs).word == "finished");
  CHECK(run_state(signs).eta_sec == 0);
  signs.is_there = false;
  CHECK(run_state(signs).word == "gone");
}

TEST_CASE("watch: locks are read from the kernel's list", "[watch]") {
  const auto locks = locked_files(
      "1: POSIX  ADVISORY  WRITE 11 08:02:100 0 EOF\n"
      "2: FLOCK  ADVISORY  WRITE 12 fd:1f:5678 0 EOF\n"
      "2: -> FLOCK  ADVISORY  WRITE 13 08:02:9 0 EOF\n"  // waits for it
      "nonsense\n");
  CHECK((locks == std::set<LockedFile>{{0xfd, 0x1f, 5678}}));
}
