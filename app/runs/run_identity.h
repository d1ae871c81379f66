// Which run, and which branch of it, a file belongs to: what the parts of a run folder know of each
// other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

/// A launch of `uvic train`, and the number of images at which it began.
struct LineageEntry {
  std::string launch;
  int64_t from = 0;
};

/// The metadata uvic.run_id, uvic.lineage and uvic.init of states and weights. Files of versions
/// before these existed have none of them.
struct RunIdentity {
  std::string run_id;                 ///< 16 hexadecimal digits, chosen at the run's first launch
  std::vector<LineageEntry> lineage;  ///< launches that trained what the file holds
  std::string init;                   ///< of a fine-tuned run: JSON of the weights it started from

  bool empty() const { return run_id.empty(); }
  /// The launches that had a part in the first `images` images: two files of one run are of one
  /// branch at `images` where these are equal.
  std::vector<std::string> launches_until(int64_t images) const;
};

/// Random hexadecimal digits from the operating system.
std::string random_id(int digits);

/// Throws std::runtime_error naming `name` where the lineage is damaged.
RunIdentity identity_of(const std::map<std::string, std::string>& metadata,
                        const std::string& name);
void add_identity(const RunIdentity& identity, std::map<std::string, std::string>& metadata);

/// The metadata of a safetensors file, without its tensors being read.
std::map<std::string, std::string> read_metadata(const std::filesystem::path& path);

/// The number under `key`, or nothing where it is absent or no number of 0 or more.
std::optional<int64_t> count_in(const std::map<std::string, std::string>& metadata,
                                const std::string& key);

}  // namespace uvic::app
