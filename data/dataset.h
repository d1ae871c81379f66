// A labelled set of pictures of one size, whatever holds it: folder, zip, CIFAR-10's binary files, a formula.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace uvic::data {

/// Where pictures come from and how they are brought to size.
struct DatasetOptions {
  int64_t image_size = 32;
  bool skip_bad = false;
  int64_t memory_limit_mib = 4096;
  int64_t procedural_images = 50000;
  int64_t procedural_seed = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("image_size", image_size, "Side of the square pictures, px; others are centre-cropped and resized (antialiased)");
    visit("skip_bad", skip_bad, "Count files that can't be decoded and go on, instead of stopping at the first");
    visit("memory_limit_mib", memory_limit_mib, "Sets that fit decoded in this much memory are held there; larger ones stream");
    visit("procedural_images", procedural_images, "Length of the embedded procedural set");
    visit("procedural_seed", procedural_seed, "Seed of the embedded procedural set; another seed is a disjoint set");
  }
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  virtual int64_t image_size() const = 0;                            ///< px, height = width
  virtual const std::vector<std::string>& class_names() const = 0;  ///< empty: unlabelled
  virtual std::string describe() const = 0;                          ///< one line for logs and provenance

  /// Writes picture `index` as uint8 RGB planes [3, size, size] to `planes`; returns its class, or -1.
  /// Safe to call from several threads. Throws std::runtime_error that names a file it can't decode.
  virtual int64_t read(int64_t index, uint8_t* planes) const = 0;
};

/// Opens by content: the word "procedural", a folder of pictures (a subfolder per class, or flat), a folder with
/// CIFAR-10's binary files, a zip of pictures. Throws std::runtime_error naming what was looked for and not found.
std::unique_ptr<Dataset> open_dataset(const std::string& source, const DatasetOptions& options);

}  // namespace uvic::data
