// A folder of samples: images by seed, what belongs to them, and samples.json, which says how they
// were made, which seeds are there ("seeds") and which were begun and are missing ("missing").
//
//   000042.png                  the picture of seed 42; from ten thousand on in folders of a
//                               thousand, 012/012345.png
//   000042_trajectory.png       its way from noise, where asked for
//   000042_noise.safetensors    the noise that an inverted picture came from
//   grid.png                    the first pictures on one sheet
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace uvic::app {

/// "0-3,7" -> 0 1 2 3 7, in the order given, each once. Throws std::invalid_argument.
std::vector<uint64_t> parse_seeds(const std::string& text);

/// 0 1 2 3 7 -> "0-3,7".
std::string seeds_text(const std::set<uint64_t>& seeds);

/// Where picture `seed` stands: FOLDER/000042.png; from ten thousand on in folders of a thousand,
/// FOLDER/012/012345.png.
std::filesystem::path picture_path(const std::filesystem::path& folder, uint64_t seed);
std::filesystem::path trajectory_path(const std::filesystem::path& folder, uint64_t seed);
std::filesystem::path noise_path(const std::filesystem::path& folder, uint64_t seed);

class SampleFolder {
 public:
  /// `settings`: what decides on a picture beside its seed. `ids_key`: how samples.json calls the
  /// list of pictures, "seeds" or "frames".
  SampleFolder(std::filesystem::path path, nlohmann::json settings, std::string ids_key);

  /// Makes the folder, or takes up what stands there. Pictures of other settings, and pictures
  /// `ids` that samples.json does not list, are refused by std::invalid_argument, or, with
  /// `overwrite`, removed or drawn over. Throws std::runtime_error where the folder can't be made.
  void open(const std::vector<uint64_t>& ids, bool overwrite);

  const std::filesystem::path& path() const { return path_; }
  /// The images that are there, of this and earlier launches.
  const std::set<uint64_t>& drawn() const { return drawn_; }

  /// Records that images `ids` are to be generated: what a kill leaves of them is known as ours.
  void begin(const std::vector<uint64_t>& ids);
  /// Records that images `ids` are there.
  void add(const std::vector<uint64_t>& ids);
  /// Records so many images in so many seconds, added to those of earlier launches.
  void add_time(int64_t images, double seconds);
  /// Merges `more` into samples.json, whole or not at all. "finished" is true where nothing that
  /// was begun is missing.
  void finish(const nlohmann::json& more);

 private:
  void write();

  std::filesystem::path path_;
  nlohmann::json settings_, record_;
  std::string ids_key_;
  std::set<uint64_t> drawn_, missing_;  // ids there, ids begun and not there
};

}  // namespace uvic::app
