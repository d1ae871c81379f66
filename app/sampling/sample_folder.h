// A folder of samples: images by seed, what belongs to them, and samples.json, which says how they
// were made, which seeds are there ("seeds"), which were begun and are missing ("missing"), and
// whether grid.png is ours ("grid").
//
//   000042.png                  the image of seed 42; from ten thousand on in folders of a
//                               thousand, 012/012345.png
//   000042_trajectory.png       its way from noise, where asked for
//   000042_noise.safetensors    the noise that an inverted image came from
//   grid.png                    the first images on one sheet
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/sampling/seed_list.h"

namespace uvic::app {

/// The file of the image of `seed`: FOLDER/000042.png; from ten thousand on in folders of a
/// thousand, FOLDER/012/012345.png.
std::filesystem::path sampled_image_path(const std::filesystem::path& folder, uint64_t seed);
std::filesystem::path trajectory_path(const std::filesystem::path& folder, uint64_t seed);
std::filesystem::path noise_path(const std::filesystem::path& folder, uint64_t seed);

/// What a launch writes besides the images themselves.
struct SampleParts {
  bool trajectory = false, noise = false, grid = false;
};

class SampleFolder {
 public:
  /// `settings`: what decides on an image besides its seed. `ids_key`: how samples.json calls the
  /// list of images, "seeds" or "frames". `remedy`: what an error proposes where the folder is
  /// another's.
  SampleFolder(std::filesystem::path path,
               nlohmann::json settings,
               std::string ids_key,
               SampleParts parts,
               std::string remedy = "choose another --out or pass --overwrite");

  /// Makes the folder, or takes up what is there, and records that images `ids` are to be
  /// generated: what a kill leaves of them is known as ours. All this under the folder's lock, so
  /// that of two that begin at once the second sees what the first has begun. Images of other
  /// settings, and files that samples.json does not list where ours will be, are refused by
  /// std::invalid_argument, or, with `overwrite`, removed or replaced. Returns the ids that are
  /// still to be generated. Throws std::runtime_error where the folder can't be made.
  SeedList open(const SeedList& ids, bool overwrite);

  const std::filesystem::path& path() const { return path_; }
  /// The images that are there, of this and earlier launches.
  const SeedSet& generated() const { return generated_; }

  /// Records that images `ids` are there.
  void add(const std::vector<uint64_t>& ids);
  /// Records so many images in so many seconds, added to those of earlier launches.
  void add_time(int64_t images, double seconds);
  /// Merges `more` into samples.json, whole or not at all. "finished" is true where nothing that
  /// was begun is missing.
  void finish(const nlohmann::json& more);

 private:
  struct Files;
  bool take_over(const nlohmann::json& before, const Files& files, bool overwrite);
  void refuse_foreign(const SeedSet& ids, const Files& files, bool grid_is_ours) const;
  void write();

  std::filesystem::path path_;
  nlohmann::json settings_, record_;
  std::string ids_key_, remedy_;
  SampleParts parts_;
  SeedSet generated_, missing_;  // ids there, ids begun and not there
};

}  // namespace uvic::app
