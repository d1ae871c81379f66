#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <opencv2/core.hpp>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "base/tensor_allocator.h"
#include "base/torch.h"

namespace uvic::base {
namespace {

std::atomic<int64_t> own_gpu{-1};

std::atomic<int> stop_signal{0}, signal_of_another{0};

void on_stop_signal(int signal) {
  const int before = stop_signal.exchange(signal);
  if (before != 0 && !(before == SIGHUP && signal == SIGHUP)) _exit(128 + signal);
}

// Our stdout or stderr: what can't be written is dropped, and the first reason kept.
struct LossyStream {
  int descriptor;
  int error = 0;
};
LossyStream lossy_stdout{STDOUT_FILENO}, lossy_stderr{STDERR_FILENO};

// Always reports success: the C library and fmt then carry on.
ssize_t write_or_drop(void* cookie, const char* bytes, size_t size) {
  auto& stream = *static_cast<LossyStream*>(cookie);
  for (size_t done = 0; done < size;) {
    const ssize_t written = ::write(stream.descriptor, bytes + done, size - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {  // a terminal or pipe that another program set so
      pollfd ready = {stream.descriptor, POLLOUT, 0};
      if (poll(&ready, 1, -1) >= 0 || errno == EINTR) continue;
    }
    if (written <= 0) {
      if (stream.error == 0) stream.error = errno;
      break;
    }
    done += static_cast<size_t>(written);
  }
  return static_cast<ssize_t>(size);
}

FILE* open_lossy(LossyStream& stream, int buffering) {
  cookie_io_functions_t functions = {};
  functions.write = write_or_drop;
  FILE* const file = fopencookie(&stream, "w", functions);
  if (file) std::setvbuf(file, nullptr, buffering, buffering == _IONBF ? 0 : BUFSIZ);
  return file;
}

// cgroup v2: "max 100000" or "150000 100000" (quota and period, microseconds).
int64_t quota_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return INT64_MAX;
  return std::max<int64_t>(1, std::llround(std::atof(quota.c_str()) / period));
}

}  // namespace

int64_t usable_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  int64_t cores = sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
  return std::max<int64_t>(1, std::min(cores, quota_cores()));
}

void set_up_process(int64_t threads) {
  if (threads < 0)
    throw std::invalid_argument(fmt::format("--threads {}: 0 (all usable cores) or more", threads));
  const int64_t most = std::max<int64_t>(64, 8 * usable_cores());
  if (threads > most)
    throw std::invalid_argument(
        fmt::format("--threads {}: {} cores are usable here; give {} or fewer, or 0 for all",
                    threads,
                    usable_cores(),
                    most));
  at::set_num_threads(static_cast<int>(openmp_team(threads > 0 ? threads : usable_cores())));
  cv::setNumThreads(1);
  at::globalContext().setFlushDenormal(true);
  // On a GPU too float32 means float32: metrics follow their protocols to the last digits.
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  // A training step frees and asks again for the same large blocks: returned to the kernel, each
  // would be paged in anew.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  use_compact_tensor_memory();
}

void protect_standard_streams() {
  // open() returns the lowest free number: with 0 to `wanted` - 1 open, that is `wanted`.
  for (int wanted = STDIN_FILENO; wanted <= STDERR_FILENO; ++wanted)
    if (fcntl(wanted, F_GETFD) < 0 && errno == EBADF && ::open("/dev/null", O_RDWR) < 0) break;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // beyond "ulimit -f" a write fails, as on a full disk
  // In the GNU C library both are variables that a program may set.
  if (FILE* const file = open_lossy(lossy_stderr, _IONBF)) stderr = file;
  const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  if (FILE* const file = open_lossy(lossy_stdout, is_terminal ? _IOLBF : _IOFBF)) stdout = file;
}

std::string output_error() {
  std::fflush(stdout);
  return lossy_stdout.error != 0 ? std::strerror(lossy_stdout.error) : "";
}

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup = {};
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, nullptr);
}

int stop_requested() {
  const int own = stop_signal.load();
  return own != 0 ? own : signal_of_another.load();
}
void request_stop(int signal) { signal_of_another.store(signal); }

double resident_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

double peak_resident_mib() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::string choose_device(const std::string& wanted) {
  if (wanted == "cpu") return wanted;
  if (own_gpu >= 0) return fmt::format("cuda:{}", own_gpu.load());
  const bool cuda = torch::cuda::is_available();
  if (wanted == "auto") return cuda ? "cuda" : "cpu";
  if (wanted != "cuda")
    throw std::invalid_argument(fmt::format("--device {}: one of auto, cpu, cuda", wanted));
  if (!cuda)
    throw std::invalid_argument(
        "--device cuda: this LibTorch sees no CUDA device; use --device cpu");
  return wanted;
}

void set_own_gpu(int64_t index) { own_gpu = index; }

std::string shell_word(const std::string& word) {
  if (!word.empty() &&
      word.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%") ==
          std::string::npos)
    return word;
  std::string quoted = "'";
  for (const char c : word) c == '\'' ? quoted += "'\\''" : quoted += c;
  return quoted + "'";
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string line;
  for (std::string word; std::getline(file, word, '\0');)
    line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

std::string utc_now() {
  const auto now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace uvic::base
