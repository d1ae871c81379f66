#include "base/process_launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/check.h"
#include "base/message_socket.h"

extern char** environ;  // NOLINT

namespace uvic::base {
namespace {

constexpr std::array<int, 6> kSignals = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT};

int signal_pipe[2] = {-1, -1};

void on_signal(int number) {
  const int before = errno;
  const auto byte = static_cast<unsigned char>(number);
  if (::write(signal_pipe[1], &byte, 1) < 0) errno = before;  // full: as many are waiting already
  errno = before;
}

std::vector<std::string> own_arguments() {
  std::vector<std::string> words;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  return words;
}

std::string random_job() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (auto& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

struct Child {
  pid_t pid = -1;
  bool running = true;
};

class Launcher {
 public:
  Launcher(const ProcessOptions& options, const std::function<void(const std::string&)>& say)
      : options_(options), say_(say) {}

  int run() {
    catch_signals();
    start();
    while (true) {
      collect();
      if (std::none_of(children_.begin(), children_.end(), [](auto& c) { return c.running; }))
        break;
      if (code_ != 0 && Clock::now() > deadline_) send(SIGKILL);
      pollfd ready = {signal_pipe[0], POLLIN, 0};
      ::poll(&ready, 1, code_ != 0 ? 200 : -1);
      unsigned char number = 0;
      while (::read(signal_pipe[0], &number, 1) == 1) handle(number);
    }
    return code_;
  }

 private:
  static void catch_signals() {
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
      throw std::runtime_error(fmt::format("--processes: no pipe: {}", std::strerror(errno)));
    for (const int number : kSignals) {
      struct sigaction before = {};
      if (number == SIGHUP && sigaction(number, nullptr, &before) == 0 &&
          before.sa_handler == SIG_IGN)
        continue;  // as nohup sets it
      struct sigaction action = {};
      action.sa_handler = on_signal;
      action.sa_flags = SA_RESTART;
      sigaction(number, &action, nullptr);
    }
  }

  void start() {
    const int listening = listen_at("127.0.0.1", 0);
    const auto job = random_job();
    for (int64_t rank = 0; rank < options_.processes; ++rank) {
      auto words = own_arguments();
      auto variables = environment(rank, listening, job);
      const auto argv = pointers(words), envp = pointers(variables);
      const pid_t parent = getpid(), pid = fork();
      if (pid < 0) {
        const auto error = std::strerror(errno);
        send(SIGKILL);
        throw std::runtime_error(fmt::format("--processes: can't start rank {}: {}", rank, error));
      }
      if (pid == 0) become(parent, rank == 0 ? listening : -1, argv, envp);
      children_.push_back({pid, true});
    }
    ::close(listening);
  }

  std::vector<std::string> environment(int64_t rank, int listening, const std::string& job) const {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable; ++variable) variables.emplace_back(*variable);
    variables.push_back(fmt::format("UVIC_RANK={}", rank));
    variables.push_back(fmt::format("UVIC_PROCESSES={}", options_.processes));
    variables.push_back(fmt::format("UVIC_PORT={}", port_of(listening)));
    variables.push_back(fmt::format("UVIC_LISTENING={}", listening));
    variables.push_back("UVIC_JOB=" + job);
    return variables;
  }

  /// In the child, whose other threads do not exist: nothing here may take memory or a lock.
  [[noreturn]] static void become(pid_t parent,
                                  int listening,
                                  const std::vector<char*>& argv,
                                  const std::vector<char*>& envp) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    for (const int number : kSignals)
      if (number != SIGHUP) signal(number, SIG_DFL);
    if (listening >= 0) fcntl(listening, F_SETFD, 0);
    execve("/proc/self/exe", argv.data(), envp.data());
    _exit(127);
  }

  void collect() {
    struct Ended {
      size_t rank;
      int status;
    };
    std::vector<Ended> ended;
    // The second look finds what ended during the first.
    for (size_t look = 0; look < 2 * children_.size(); ++look) {
      const auto rank = look % children_.size();
      auto& child = children_[rank];
      int status = 0;
      if (!child.running || waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
      child.running = false;
      if (status != 0) ended.push_back({rank, status});
    }
    // A process that refuses its options ends with 2; those that lose it end with 1, maybe before.
    const auto refused = std::find_if(ended.begin(), ended.end(), [](const Ended& e) {
      return WIFEXITED(e.status) && WEXITSTATUS(e.status) == 2;
    });
    if (code_ == 1 && refused != ended.end()) code_ = 2;
    if (ended.empty() || code_ != 0) return;
    // Of several that ended at once the one that a signal ended is the cause.
    const auto killed = std::find_if(
        ended.begin(), ended.end(), [](const Ended& e) { return WIFSIGNALED(e.status); });
    const auto [rank, status] = killed != ended.end()    ? *killed
                                : refused != ended.end() ? *refused
                                                         : ended.front();
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    // A process that fell silent was noticed after 3/4 of the timeout.
    deadline_ =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(
                           std::chrono::duration<double>(std::max(1.0, options_.timeout_sec / 4)));
    if (WIFSIGNALED(status))
      say_(fmt::format("rank {} of {} (process {}) was ended by signal {} ({})",
                       rank,
                       children_.size(),
                       children_[rank].pid,
                       WTERMSIG(status),
                       strsignal(WTERMSIG(status))));
  }

  void handle(int number) {
    if (number == SIGCHLD) return;
    if (number != SIGTSTP) return send(number);
    send(SIGSTOP);
    raise(SIGSTOP);  // and SIGCONT, which ends it, is passed on
  }

  void send(int number) const {
    for (const auto& child : children_)
      if (child.running) kill(child.pid, number);
  }

  const ProcessOptions options_;
  const std::function<void(const std::string&)>& say_;
  std::vector<Child> children_;
  Clock::time_point deadline_;
  int code_ = 0;
};

}  // namespace

void launch_processes(const ProcessOptions& options,
                      const std::function<void(const std::string&)>& say) {
  if (options.processes <= 1 || process_place().size > 1) return;
  require(has_collectives(),
          "--processes {}: this build has no c10d: several processes need a LibTorch with Gloo and "
          "its headers (Debian: libgloo-dev)",
          options.processes);
  throw ProcessesEnded{Launcher(options, say).run()};
}

}  // namespace uvic::base
