// Which of several processes this one is, as the launcher that started it says.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace uvic::base {

/// The place of a process among those that work together, and where they meet.
struct ProcessPlace {
  int64_t rank = 0, size = 1;
  int64_t local_rank = 0;          ///< among those on this machine
  std::string host = "127.0.0.1";  ///< rank 0 listens there
  int64_t port = 29500;
  int listening = -1;      ///< descriptor on which rank 0 already listens, or -1
  bool has_agent = false;  ///< torchrun's agent listens at host:port, with a store of its own
  std::string launcher;    ///< "torchrun", "Open MPI", "Slurm", "--processes"; "" if there is none
  std::string job;         ///< equal in all processes of a job; "" if unknown
  std::string note;        ///< what the user may want to know of this choice, or ""
};

/// The value of an environment variable, or null.
using Environment = std::function<const char*(const char*)>;

/// The place that the variables of a launcher give, the first of these that is there:
///
///   --processes   UVIC_RANK, UVIC_PROCESSES, UVIC_PORT, UVIC_LISTENING, UVIC_JOB
///   torchrun      RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT
///   Open MPI      OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE
///   Slurm         SLURM_PROCID, SLURM_STEP_NUM_TASKS or SLURM_NTASKS, SLURM_LOCALID,
///                 SLURM_STEP_NODELIST or SLURM_NODELIST
///
/// MASTER_ADDR and MASTER_PORT count with every launcher. Without them the host is the first of
/// Slurm's nodes, or this one if Open MPI has all processes here, and the port a function of the
/// job. Slurm's batch script is one process, whatever SLURM_NTASKS says. Throws
/// std::invalid_argument that names a variable with an unusable value, or that is missing.
ProcessPlace process_place(const Environment& get);
/// The same, of this process.
ProcessPlace process_place();

/// The first host of a list as Slurm writes it: "rack1n[004-007,9],login" gives "rack1n004".
std::string first_host(const std::string& list);

}  // namespace uvic::base
