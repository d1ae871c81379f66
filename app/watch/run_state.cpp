#include "app/watch/run_state.h"
#include "base/text_format.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace uvic::app {
namespace {

bool is_silent(const RunSigns& signs) {
  const bool is_slow = signs.is_held || signs.usual_gap_sec <= 0;
  return signs.silent_sec > std::max(is_slow ? 600.0 : 60.0, 4 * signs.usual_gap_sec);
}

}  // namespace

RunState run_state(const RunSigns& signs) {
  if (!signs.is_there) return {"gone"};
  const bool is_complete = signs.total_images > 0 && signs.images_seen >= signs.total_images;
  const bool says_finished = base::begins_with(signs.last_log_line, "finished at ");
  if (!signs.is_held && (is_complete || says_finished)) return {"finished", 0};
  if (!signs.is_held && base::begins_with(signs.last_log_line, "stopped and saved "))
    return {"stopped"};
  if (is_silent(signs)) return {"silent"};
  if (signs.images_seen <= 0) return {"waiting"};
  RunState state{"training"};
  if (signs.images_per_sec > 0 && signs.total_images > 0)
    state.eta_sec = std::max(0.0, signs.total_images - signs.images_seen) / signs.images_per_sec;
  return state;
}

std::set<LockedFile> locked_files(const std::string& proc_locks_text) {
  std::set<LockedFile> files;
  std::istringstream lines(proc_locks_text);
  for (std::string line; std::getline(lines, line);) {
    // "1: FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF"
    char kind[16] = {};
    unsigned major_number = 0, minor_number = 0;
    uint64_t inode = 0;
    if (std::sscanf(line.c_str(),
                    "%*[^ ] %15s %*s %*s %*s %x:%x:%" SCNu64,
                    kind,
                    &major_number,
                    &minor_number,
                    &inode) == 4 &&
        std::string(kind) == "FLOCK")
      files.emplace(major_number, minor_number, inode);
  }
  return files;
}

std::set<LockedFile> locked_files() {
  std::ostringstream text;
  text << std::ifstream("/proc/locks").rdbuf();
  return locked_files(text.str());
}

}  // namespace uvic::app
