#include "base/rendezvous.h"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/collectives.h"
#include "base/process.h"

namespace uvic::base {
namespace {

constexpr const char* kProtocol = "uvic 1";

std::string own_host() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? std::string(name) : "unknown";
}

// Containers have names of their own; all of a machine have its boot.
std::string own_machine() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return boot.empty() ? own_host() : boot;
}

std::string own_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::string text = fmt::format("{}:", usable_cores());  // the control group's quota is in it
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return text;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask)) text += fmt::format("{},", cpu);
  return text;
}

Peer self(const ProcessPlace& place) {
  return {place.rank, own_host(), getpid(), own_machine(), own_cores(), nullptr};
}

nlohmann::json parsed(const std::string& text) {
  auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_object() ? value : nlohmann::json::object();
}

std::string text_in(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_in(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : -1;
}

int64_t sharing(const std::vector<Peer>& all, const Peer& one) {
  return std::count_if(all.begin(), all.end(), [&](const Peer& other) {
    return other.machine == one.machine && other.cores == one.cores;
  });
}

Clock::time_point deadline_of(const MeetingOptions& options) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(options.timeout_sec));
}

/// Rank 0's side.
class Host {
 public:
  Host(const ProcessPlace& place, const MeetingOptions& options)
      : place_(place), options_(options), deadline_(deadline_of(options)) {
    ranks_.resize(static_cast<size_t>(place.size));
    ranks_[0] = self(place);
    listening_ = listen();
  }
  ~Host() {
    if (listening_ >= 0) ::close(listening_);
  }

  Meeting meet() {
    while (missing() > 0) {
      if (Clock::now() >= deadline_) give_up();
      wait();
      while (true) {
        const int descriptor = accept_one(listening_);
        if (descriptor < 0) break;
        strangers_.push_back(std::make_unique<MessageSocket>(descriptor));
      }
      hear_strangers();
      for (auto& rank : ranks_)
        if (rank.socket && (rank.socket->receive(), rank.socket->is_closed())) rank.socket.reset();
    }
    return welcome();
  }

 private:
  int listen() const {
    if (place_.listening >= 0) return place_.listening;
    if (place_.has_agent) {
      const int descriptor = listen_at("", 0);
      publish_port(place_, port_of(descriptor), options_.timeout_sec);
      return descriptor;
    }
    try {
      return listen_at("", place_.port);
    } catch (const std::runtime_error& e) {
      throw std::runtime_error(
          fmt::format("{} (where {}'s processes meet); set MASTER_PORT to a free port",
                      e.what(),
                      place_.launcher));
    }
  }

  int64_t missing() const {
    return std::count_if(ranks_.begin() + 1, ranks_.end(), [](const Peer& p) { return !p.socket; });
  }

  void wait() {
    std::vector<pollfd> ready = {{listening_, POLLIN, 0}};
    for (const auto& stranger : strangers_) ready.push_back({stranger->descriptor(), POLLIN, 0});
    for (const auto& rank : ranks_)
      if (rank.socket) ready.push_back({rank.socket->descriptor(), POLLIN, 0});
    ::poll(ready.data(), ready.size(), 200);
  }

  void hear_strangers() {
    for (auto& stranger : strangers_) {
      for (const auto& message : stranger->receive()) {
        if (message.type != kHello) break;
        hear(stranger, parsed(message.text));
        break;
      }
      if (stranger && stranger->is_closed()) stranger.reset();
    }
    strangers_.erase(std::remove(strangers_.begin(), strangers_.end(), nullptr), strangers_.end());
  }

  /// Takes the socket, whatever becomes of it.
  void hear(std::unique_ptr<MessageSocket>& from, const nlohmann::json& hello) {
    const auto why = refusal(hello);
    if (!why.empty()) {
      from->send(kRefusal, why);
      from.reset();
      return;
    }
    auto& peer = ranks_[static_cast<size_t>(number_in(hello, "rank"))];
    peer = {number_in(hello, "rank"),
            text_in(hello, "host"),
            number_in(hello, "pid"),
            text_in(hello, "machine"),
            text_in(hello, "cores"),
            std::move(from)};
  }

  std::string refusal(const nlohmann::json& hello) const {
    const auto rank = number_in(hello, "rank"), size = number_in(hello, "size");
    if (text_in(hello, "protocol") != kProtocol || text_in(hello, "version") != options_.version)
      return fmt::format("another version: rank {} has \"{}\", rank 0 has \"{}\"",
                         rank,
                         text_in(hello, "version"),
                         options_.version);
    if (text_in(hello, "job") != place_.job)
      return fmt::format("another job (\"{}\") meets at this port; this one is \"{}\"",
                         place_.job,
                         text_in(hello, "job"));
    if (size != place_.size)
      return fmt::format("rank {} is one of {} processes, rank 0 of {}", rank, size, place_.size);
    if (rank < 1 || rank >= place_.size)
      return fmt::format("rank {}: want 1 to {}", rank, place_.size - 1);
    if (const auto& there = ranks_[static_cast<size_t>(rank)]; there.socket)
      return fmt::format("another process is {}", there.name(place_.size));
    return "";
  }

  [[noreturn]] void give_up() {
    std::string absent;
    for (size_t r = 1; r < ranks_.size(); ++r)
      if (!ranks_[r].socket) absent += fmt::format("{}{}", absent.empty() ? "" : ", ", r);
    const auto why = fmt::format("rank {} of {} did not come to {} port {} within {:g} s",
                                 absent,
                                 place_.size,
                                 own_host(),
                                 port_of(listening_),
                                 options_.timeout_sec);
    for (const auto& rank : ranks_)
      if (rank.socket) rank.socket->send(kRefusal, why);
    throw std::runtime_error(why);
  }

  /// Where others reach rank 0's machine: not at its loopback address, if any came from elsewhere.
  std::string address() const {
    std::string found = "127.0.0.1";
    for (const auto& rank : ranks_)
      if (rank.socket && !is_loopback(rank.socket->peer_address()))
        found = rank.socket->own_address();
    return found;
  }

  Meeting welcome() {
    Meeting meeting;
    meeting.own_address = meeting.store_host = address();
    meeting.store_port = options_.store_port;
    meeting.sharing = sharing(ranks_, ranks_[0]);
    for (size_t r = 1; r < ranks_.size(); ++r) {
      auto& socket = *ranks_[r].socket;
      const auto address =
          is_loopback(socket.peer_address()) ? meeting.own_address : socket.peer_address();
      socket.send(kWelcome,
                  nlohmann::json{{"host", ranks_[0].host},
                                 {"pid", ranks_[0].pid},
                                 {"store_port", options_.store_port},
                                 {"address", address},
                                 {"sharing", sharing(ranks_, ranks_[r])}}
                      .dump());
    }
    meeting.peers.assign(std::make_move_iterator(ranks_.begin() + 1),
                         std::make_move_iterator(ranks_.end()));
    meeting.listening = std::exchange(listening_, -1);
    return meeting;
  }

  const ProcessPlace& place_;
  const MeetingOptions& options_;
  const Clock::time_point deadline_;
  int listening_ = -1;
  std::vector<Peer> ranks_;
  std::vector<std::unique_ptr<MessageSocket>> strangers_;
};

/// The other ranks' side.
class Guest {
 public:
  Guest(const ProcessPlace& place, const MeetingOptions& options)
      : place_(place), options_(options), deadline_(deadline_of(options)) {}

  Meeting meet() {
    port_ = place_.has_agent ? published_port(place_, options_.timeout_sec) : place_.port;
    while (Clock::now() < deadline_) {
      const int descriptor = connect_to(place_.host, port_, deadline_, error_);
      if (descriptor >= 0)
        if (auto meeting = talk(std::make_unique<MessageSocket>(descriptor)))
          return std::move(*meeting);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    throw std::runtime_error(fmt::format("rank {} of {}: no rank 0 at {} port {} within {:g} s: {}",
                                         place_.rank,
                                         place_.size,
                                         place_.host,
                                         port_,
                                         options_.timeout_sec,
                                         error_));
  }

 private:
  /// Nothing where rank 0 closed the connection.
  std::optional<Meeting> talk(std::unique_ptr<MessageSocket> socket) {
    const auto own = self(place_);
    socket->send(kHello,
                 nlohmann::json{{"protocol", kProtocol},
                                {"version", options_.version},
                                {"job", place_.job},
                                {"rank", place_.rank},
                                {"size", place_.size},
                                {"host", own.host},
                                {"pid", own.pid},
                                {"machine", own.machine},
                                {"cores", own.cores}}
                     .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    error_ = "rank 0 still waits for other processes";
    // Rank 0 says who is missing; it may have begun to wait later than this process.
    constexpr auto kGrace = std::chrono::seconds(1);
    while (Clock::now() < deadline_ + kGrace) {
      pollfd ready = {socket->descriptor(), POLLIN, 0};
      ::poll(&ready, 1, 200);
      socket->flush();
      for (const auto& message : socket->receive()) {
        if (message.type == kRefusal) throw std::runtime_error(message.text);
        if (message.type == kWelcome) return welcomed(std::move(socket), parsed(message.text));
      }
      if (!socket->is_closed()) continue;
      error_ = "it closed the connection";
      return std::nullopt;
    }
    return std::nullopt;
  }

  Meeting welcomed(std::unique_ptr<MessageSocket> socket, const nlohmann::json& welcome) const {
    Meeting meeting;
    meeting.store_host = socket->peer_address();
    meeting.store_port = number_in(welcome, "store_port");
    meeting.own_address = text_in(welcome, "address");
    meeting.sharing = std::max<int64_t>(1, number_in(welcome, "sharing"));
    meeting.peers.push_back(
        {0, text_in(welcome, "host"), number_in(welcome, "pid"), "", "", std::move(socket)});
    return meeting;
  }

  const ProcessPlace& place_;
  const MeetingOptions& options_;
  const Clock::time_point deadline_;
  int64_t port_ = 0;
  std::string error_ = "not tried";
};

}  // namespace

std::string Peer::name(int64_t size) const {
  return fmt::format("rank {} of {} (host {}, process {})", rank, size, host, pid);
}

Meeting meet(const ProcessPlace& place, const MeetingOptions& options) {
  Meeting meeting;
  if (place.size > 1)
    meeting = place.rank == 0 ? Host(place, options).meet() : Guest(place, options).meet();
  meeting.host = own_host();
  meeting.machine = own_machine();
  return meeting;
}

}  // namespace uvic::base
