// A run's folder: what was asked for, what happened, and all that a later command needs of it.
//
//   config.toml      the effective options            state.safetensors     all of the training
//   state, the latest run.json         provenance weights/000064000.safetensors   EMA weights, by
//   images seen log.txt          the progress lines               grids/000064000.png the same
//   seeds, by images seen stats.jsonl      one JSON a line: losses, scores
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

class RunDir {
 public:
  explicit RunDir(std::filesystem::path path) : path_(std::move(path)) {}

  /// Makes the folders and takes the folder's lock for the life of this process; throws
  /// std::runtime_error where it can't be written or another process trains in it.
  void open_for_training();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path provenance() const { return path_ / "run.json"; }
  std::filesystem::path stats() const { return path_ / "stats.jsonl"; }
  std::filesystem::path state() const { return path_ / "state.safetensors"; }
  std::filesystem::path weights(int64_t images_seen) const;
  std::filesystem::path grid(int64_t images_seen) const;

  /// The EMA weights of most images; throws std::runtime_error where there are none yet.
  std::filesystem::path latest_weights() const;

  void append_stats(const nlohmann::json& line) const;
  /// Drops what was logged past `images_seen` (by a run that was killed after its last save) and a
  /// torn last line.
  void truncate_stats(int64_t images_seen) const;
  std::vector<nlohmann::json> read_stats() const;

  /// One line to stderr and to log.txt.
  void log(const std::string& line) const;

 private:
  std::filesystem::path path_;
};

}  // namespace uvic::app
