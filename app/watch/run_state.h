// What a run is doing, by the traces that it leaves in its folder.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>

namespace uvic::app {

struct RunSigns {
  bool is_there = true;     ///< the folder exists
  double images_seen = 0;   ///< of the last line of stats.jsonl
  double total_images = 0;  ///< that the run was asked for; 0: unknown
  std::string last_log_line;
  double silent_sec = 0;      ///< since anything was written
  double usual_gap_sec = 0;   ///< between the last lines of stats.jsonl; 0: unknown
  double images_per_sec = 0;  ///< lately
  bool is_held = false;       ///< a process of this machine holds the folder's lock
};

struct RunState {
  std::string word;     ///< gone, waiting, training, silent, stopped, finished
  double eta_sec = -1;  ///< to total_images; -1: unknown
};

/// finished: total_images are reached, or the log says so. stopped: the log says so, and no process
/// holds the folder. silent: nothing was written for four usual gaps, and at least a minute; ten
/// minutes where the gap is unknown or a process holds the folder. waiting: no line yet.
RunState run_state(const RunSigns& signs);

/// (major, minor, inode) of every file that a process of this machine has locked by flock(), from
/// /proc/locks. Nothing is locked to find out, so that no training can be kept from starting.
using LockedFile = std::tuple<unsigned, unsigned, uint64_t>;
std::set<LockedFile> locked_files(const std::string& proc_locks_text);
std::set<LockedFile> locked_files();

}  // namespace uvic::app
