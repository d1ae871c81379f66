// A labelled set of pictures of one size, whatever holds it: folder, zip, CIFAR-10's binary files,
// a formula.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/field.h"
#include "base/table.h"

namespace uvic::data {

/// Where pictures come from and how they are brought to size.
struct DatasetOptions {
  int64_t image_size = 32;
  bool skip_bad = false;
  int64_t memory_limit_mib = 4096;
  int64_t procedural_images = 50000;
  int64_t procedural_seed = 0;

  /// Throws std::invalid_argument naming the option that is out of range.
  void validate() const;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("image_size",
          image_size,
          Field{"Side of the square images, px (0: what the command needs); others are "
                "centre-cropped and resized (antialiased)",
                base::from(0, 16384)}
              .advanced());
    visit(
        "skip_bad",
        skip_bad,
        Field{"Count files that can't be decoded and continue, instead of stopping at the first"});
    visit("memory_limit_mib",
          memory_limit_mib,
          Field{"Sets that fit decoded into this much memory are held there; larger ones are "
                "streamed",
                base::from(0, 1099511627776.0)}
              .advanced());
    visit("procedural_images",
          procedural_images,
          Field{"Length of the embedded procedural set", base::from(1, 1e12)}.advanced());
    visit("procedural_seed",
          procedural_seed,
          Field{"Seed of the embedded procedural set; another seed is a disjoint set",
                base::from(0, base::kMostCount)}
              .advanced());
  }
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  virtual int64_t image_size() const = 0;                           ///< px, height = width
  virtual const std::vector<std::string>& class_names() const = 0;  ///< empty: unlabelled
  virtual std::string describe() const = 0;  ///< one line for logs and provenance

  /// Equal for equal pictures in equal order, as far as the listing tells; a run keeps it and
  /// compares on resume.
  virtual std::string fingerprint() const = 0;

  /// Files found so far that can't be decoded; each is replaced by the next good one
  /// (DatasetOptions::skip_bad).
  virtual int64_t skipped() const { return 0; }

  /// Writes picture `index` as uint8 RGB planes [3, size, size] to `planes`; returns its class, or
  /// -1. Safe to call from several threads. Throws std::runtime_error that names a file it can't
  /// decode.
  virtual int64_t read(int64_t index, uint8_t* planes) const = 0;
};

/// A kind of source: recognised by its name or content, opened as a Dataset.
struct DataSource {
  const char* name;
  const char* help;
  bool labelled;  ///< may carry labels
  /// Null where `source` is not of this kind. Throws where it is, and can't be opened.
  std::unique_ptr<Dataset> (*open)(const std::string& source, const DatasetOptions& options);
};
base::Table<DataSource>& data_sources();

/// Opens by content, the first row of data_sources() that recognises it: the word "procedural"
/// ("procedural:7" for seed 7), a folder of pictures (a subfolder per class, or flat), a zip of
/// pictures, a folder with CIFAR-10's binary files
/// ("PATH:test" for its test part; without it the training part, or the test part where that is all
/// there is). Throws std::runtime_error naming what was looked for and not found,
/// std::invalid_argument for bad options.
std::unique_ptr<Dataset> open_dataset(const std::string& source, const DatasetOptions& options);

}  // namespace uvic::data
