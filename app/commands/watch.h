// uvic watch: a page that follows runs while they train.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "base/field.h"

namespace uvic::app {

struct WatchOptions {
  std::vector<std::string> runs;
  std::string host = "127.0.0.1";
  int64_t port = 8462;
  double interval_sec = 1;
  bool token = false;
  std::vector<std::string> names;
  bool sample = false;
  std::string device = "auto", precision = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit(
        "host",
        host,
        Field("Address to listen at; any but this machine's own (127.0.0.1, ::1, localhost) makes "
              "the page ask for a token, which is part of the address that is printed"));
    visit("port", port, Field("Port; 0: a free one", base::from(0, 65535)));
    visit("interval_sec",
          interval_sec,
          Field("Seconds between two reads of the folders", base::from(0.05, 3600)));
    visit("token",
          token,
          Field("Ask for a token on this machine too, for machines with several users"));
    visit("sample",
          sample,
          Field("Also generate the samples that the page requests, one request at a time"));
    visit("device", device, base::device_field());
    visit("precision", precision, base::precision_field("Arithmetic of samples").advanced());
    visit("threads", threads, base::threads_field());
    visit("names",
          names,
          Field("Names of this server besides its host name, as browsers ask for it; other names "
                "are refused")
              .advanced());
  }
};

/// Serves the page until a signal asks to stop. Throws std::runtime_error where a folder is missing
/// or the port is taken, std::invalid_argument where options make no sense.
void run_watch(const WatchOptions& options);

void add_watch_command(CLI::App& app);

}  // namespace uvic::app
