// Sets of image files, in whatever container: decoding, the images kept in memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/tensor_fwd.h"
#include "data/dataset.h"
#include "data/formats/image_file.h"
#include "data/image_listing.h"
#include "data/recorded_form.h"

namespace uvic::data {

/// Decoded images of a container, brought to size by fit_square, or at their own size.
///
/// A set that fits DatasetOptions::memory_limit_mib decoded stays in memory: small ones (at most
/// 256 MiB of files) are decoded at once, by all cores, larger ones as they are first asked for.
/// With skip_bad, a file that can't be decoded gives way to the next good one in order (the first
/// follows the last), so that what an index gives depends neither on memory nor on what was read
/// before.
class ImageFiles : public Dataset, public FingerprintForms {
 public:
  /// Throws what list_images throws; and, where files are decoded at once, what read would throw.
  ImageFiles(std::unique_ptr<FileContainer> container, const DatasetOptions& options);

  int64_t size() const override { return static_cast<int64_t>(listing_.files.size()); }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override { return listing_.class_names; }
  std::string describe() const override;
  std::vector<std::string> notes() const override;
  std::string fingerprint() const override;
  std::string fingerprint_of_listing() const override;
  std::string fingerprint_like(const std::string& recorded) const override;
  int64_t skipped() const override { return skipped_; }
  int64_t read(int64_t index, uint8_t* planes) const override;
  int64_t label(int64_t index) const override {
    return listing_.labels.empty() ? -1 : listing_.labels[static_cast<size_t>(index)];
  }
  torch::Tensor read_whole(int64_t index) const override;
  formats::ImageSize own_size(int64_t index) const override;

 private:
  enum class Slot : uint8_t { kEmpty, kBeingFilled, kFull, kBad };

  bool is_cached() const { return pixels_ != nullptr; }
  bool read_file(int64_t index, uint8_t* planes) const;
  void mark_bad(int64_t index) const;
  formats::Image decode(int64_t index) const;
  std::string fingerprint_with(const char* key, const std::vector<uint32_t>* checksums) const;
  std::string fingerprint_of_content(bool whole) const;
  void check_index(int64_t index) const;
  [[noreturn]] void fail_all_bad() const;

  std::unique_ptr<FileContainer> container_;
  Listing listing_;
  int64_t image_size_;
  bool skip_bad_, turns_upright_;

  mutable std::vector<std::atomic<Slot>> slots_;
  mutable std::vector<std::atomic<bool>> has_orientation_;  // as far as they were decoded
  std::unique_ptr<uint8_t[], void (*)(void*)>
      pixels_;  // [size, 3, S, S], filled as files are decoded
  mutable std::atomic<int64_t> skipped_{0}, oriented_{0};
  mutable std::once_flag fingerprint_made_;
  mutable std::string fingerprint_;
};

}  // namespace uvic::data
