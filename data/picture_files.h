// Sets of picture files, in whatever container: listing, labels, decoding, the pictures kept in
// memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace uvic::data {

/// One file of a container.
struct StoredFile {
  std::string path;         ///< inside the container, '/' between its parts
  uint64_t size_bytes = 0;  ///< unpacked
  int64_t entry = 0;        ///< the container's own number for it
};

/// Whatever holds files: a folder, an archive.
class FileContainer {
 public:
  virtual ~FileContainer() = default;
  virtual std::string kind() const = 0;              ///< "image folder", "zip archive"
  virtual std::string name() const = 0;              ///< as the user gave it, for messages
  virtual std::vector<StoredFile> list() const = 0;  ///< every file, in any order
  /// The unpacked bytes. Safe to call from several threads. Throws std::runtime_error naming the
  /// file.
  virtual std::string read(const StoredFile& file) const = 0;
};

/// The pictures of a container in the order of their paths (byte by byte), with their classes.
struct Listing {
  std::vector<StoredFile> files;
  std::vector<int32_t> labels;  ///< empty: unlabelled
  std::vector<std::string> class_names;
};

/// Finds pictures by the endings .png, .jpg, .jpeg, .bmp, in any case; hidden files and folders are
/// left out, and so are folders that all pictures share. Classes come from, first that applies:
///
/// 1. dataset.json as EDM's dataset_tool writes it, {"labels": [["00000/img00000000.png", 6],
/// ...]},
///    labels null for an unlabelled set; our writer adds "class_names", a list that others ignore;
/// 2. the subfolders that hold the pictures, in alphabetical order, where there are at least two;
/// 3. none: pictures side by side are an unlabelled set, and so are those in folders of a thousand
///    (012/012345.png), which need not hold all of them.
///
/// Throws std::runtime_error if there are no pictures, if some lie in subfolders and some beside
/// them, or if dataset.json lacks a picture or gives it anything but a class 0 .. 1048575.
Listing list_pictures(const FileContainer& container);

/// Decoded pictures of a container, brought to size by fit_square.
///
/// A set that fits DatasetOptions::memory_limit_mib decoded stays in memory: small ones (at most
/// 256 MiB of files) are decoded at once, by all cores, larger ones as they are first asked for.
/// With skip_bad, a file that can't be decoded gives way to the next good one in order (the first
/// follows the last), so that what an index gives depends neither on memory nor on what was read
/// before.
class PictureFiles : public Dataset {
 public:
  /// Throws what list_pictures throws; and, where files are decoded at once, what read would throw.
  PictureFiles(std::unique_ptr<FileContainer> container, const DatasetOptions& options);

  int64_t size() const override { return static_cast<int64_t>(listing_.files.size()); }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override { return listing_.class_names; }
  std::string describe() const override;
  std::string fingerprint() const override;
  int64_t skipped() const override { return skipped_; }
  int64_t read(int64_t index, uint8_t* planes) const override;

 private:
  enum class Slot : uint8_t { kEmpty, kBeingFilled, kFull, kBad };

  bool is_cached() const { return pixels_ != nullptr; }
  bool read_file(int64_t index, uint8_t* planes) const;
  void decode(int64_t index, uint8_t* planes) const;
  [[noreturn]] void fail_all_bad() const;

  std::unique_ptr<FileContainer> container_;
  Listing listing_;
  int64_t image_size_;
  bool skip_bad_;

  mutable std::vector<std::atomic<Slot>> slots_;
  std::unique_ptr<uint8_t[], void (*)(void*)>
      pixels_;  // [size, 3, S, S], filled as files are decoded
  mutable std::atomic<int64_t> skipped_{0};
};

}  // namespace uvic::data
