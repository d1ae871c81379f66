#include "base/process_place.h"

#include <charconv>
#include <cstdlib>

#include "base/check.h"
#include "base/hash.h"

namespace uvic::base {
namespace {

constexpr int64_t kMostProcesses = 65536;
constexpr int64_t kDefaultPort = 29500;  // torchrun's

std::string text_of(const Environment& get, const char* name) {
  const char* value = get(name);
  return value ? value : "";
}

int64_t number_of(const Environment& get, const char* name, int64_t low, int64_t high) {
  const auto text = text_of(get, name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size() && value >= low && value <= high,
          "{} is \"{}\", want a number from {} to {}; unset the launcher's variables to run "
          "one process",
          name,
          text,
          low,
          high);
  return value;
}

bool has(const Environment& get, const char* name) { return !text_of(get, name).empty(); }

/// Rank and size from their variables.
void read_rank(const Environment& get, const char* rank, const char* size, ProcessPlace& place) {
  place.size = number_of(get, size, 1, kMostProcesses);
  place.rank = number_of(get, rank, 0, kMostProcesses);
  require(place.rank < place.size,
          "{} is {}, but {} is {}; ranks are 0 to {}",
          rank,
          place.rank,
          size,
          place.size,
          place.size - 1);
}

/// Below the ports that systems give to outgoing connections (32768 and up on Linux).
int64_t port_of_job(const std::string& job) {
  if (job.empty()) return kDefaultPort;
  uint64_t hash = 0;
  for (const char c : job) hash = hash2(hash, static_cast<unsigned char>(c));
  return 10000 + static_cast<int64_t>(hash % 20000);
}

/// What MASTER_ADDR and MASTER_PORT say; otherwise `host` and the port of the job.
void read_master(const Environment& get,
                 const std::string& host,
                 const char* cure,
                 ProcessPlace& place) {
  place.host = has(get, "MASTER_ADDR") ? text_of(get, "MASTER_ADDR") : host;
  place.port =
      has(get, "MASTER_PORT") ? number_of(get, "MASTER_PORT", 1, 65535) : port_of_job(place.job);
  require(place.size == 1 || !place.host.empty(), "MASTER_ADDR: not set; {}", cure);
}

ProcessPlace own_launcher(const Environment& get) {
  ProcessPlace place;
  place.launcher = "--processes";
  read_rank(get, "UVIC_RANK", "UVIC_PROCESSES", place);
  place.local_rank = place.rank;
  place.port = number_of(get, "UVIC_PORT", 1, 65535);
  if (place.rank == 0)
    place.listening = static_cast<int>(number_of(get, "UVIC_LISTENING", 3, 1 << 20));
  place.job = text_of(get, "UVIC_JOB");
  return place;
}

ProcessPlace torchrun(const Environment& get) {
  ProcessPlace place;
  place.launcher = "torchrun";
  read_rank(get, "RANK", "WORLD_SIZE", place);
  if (has(get, "LOCAL_RANK")) place.local_rank = number_of(get, "LOCAL_RANK", 0, kMostProcesses);
  const bool all_here = has(get, "LOCAL_WORLD_SIZE") &&
                        number_of(get, "LOCAL_WORLD_SIZE", 1, kMostProcesses) == place.size;
  place.has_agent = text_of(get, "TORCHELASTIC_USE_AGENT_STORE") == "True";
  read_master(get,
              all_here ? "127.0.0.1" : "",
              "set it to the host of rank 0, and MASTER_PORT to a free port there",
              place);
  // Not before: without MASTER_PORT the port is torchrun's own.
  place.job = text_of(get, "TORCHELASTIC_RUN_ID");
  if (has(get, "TORCHELASTIC_RESTART_COUNT"))
    place.job += ":" + text_of(get, "TORCHELASTIC_RESTART_COUNT");
  return place;
}

ProcessPlace open_mpi(const Environment& get) {
  ProcessPlace place;
  place.launcher = "Open MPI";
  read_rank(get, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", place);
  if (has(get, "OMPI_COMM_WORLD_LOCAL_RANK"))
    place.local_rank = number_of(get, "OMPI_COMM_WORLD_LOCAL_RANK", 0, kMostProcesses);
  place.job = text_of(get, "PMIX_NAMESPACE");
  const bool all_here =
      !has(get, "OMPI_COMM_WORLD_LOCAL_SIZE") ||
      number_of(get, "OMPI_COMM_WORLD_LOCAL_SIZE", 1, kMostProcesses) == place.size;
  read_master(get,
              all_here ? "127.0.0.1" : "",
              "pass mpirun -x MASTER_ADDR=HOST with the host of rank 0",
              place);
  return place;
}

/// srun's steps have these; the batch script, one process, has the job's id alone.
bool is_slurm_step(const Environment& get) {
  return !has(get, "SLURM_JOB_ID") || has(get, "SLURM_STEP_ID") || has(get, "SLURM_STEPID") ||
         has(get, "SLURM_STEP_NUM_TASKS");
}

ProcessPlace slurm(const Environment& get) {
  ProcessPlace place;
  const char* size = has(get, "SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  if (!is_slurm_step(get)) {
    if (number_of(get, size, 1, kMostProcesses) > 1)
      place.note = "note: one process: this is Slurm's batch script; srun starts " +
                   text_of(get, size) + " of them";
    return place;
  }
  place.launcher = "Slurm";
  read_rank(get, "SLURM_PROCID", size, place);
  if (has(get, "SLURM_LOCALID"))
    place.local_rank = number_of(get, "SLURM_LOCALID", 0, kMostProcesses);
  place.job = text_of(get, "SLURM_JOB_ID");
  if (!place.job.empty()) place.job += "." + text_of(get, "SLURM_STEP_ID");
  auto nodes = text_of(get, "SLURM_STEP_NODELIST");
  if (nodes.empty()) nodes = text_of(get, "SLURM_NODELIST");
  if (nodes.empty()) nodes = text_of(get, "SLURM_JOB_NODELIST");
  read_master(get, first_host(nodes), "SLURM_NODELIST is not set either", place);
  return place;
}

}  // namespace

std::string first_host(const std::string& list) {
  std::string host;
  for (size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    if (list[i] != '[') {
      host += list[i];
      continue;
    }
    const auto close = list.find(']', i);
    require(close != std::string::npos, "SLURM_NODELIST: no ] in \"{}\"", list);
    host += list.substr(i + 1, list.find_first_of(",-]", i) - i - 1);
    i = close;
  }
  return host;
}

ProcessPlace process_place(const Environment& get) {
  if (has(get, "UVIC_RANK") && has(get, "UVIC_PROCESSES")) return own_launcher(get);
  if (has(get, "RANK") && has(get, "WORLD_SIZE")) return torchrun(get);
  if (has(get, "OMPI_COMM_WORLD_RANK") && has(get, "OMPI_COMM_WORLD_SIZE")) return open_mpi(get);
  if (has(get, "SLURM_PROCID") && (has(get, "SLURM_NTASKS") || has(get, "SLURM_STEP_NUM_TASKS")))
    return slurm(get);
  return {};
}

ProcessPlace process_place() {
  return process_place([](const char* name) { return std::getenv(name); });
}

}  // namespace uvic::base
