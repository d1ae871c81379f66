// Which files of a folder or archive are the images of a set, and what their classes are.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/file_list.h"

namespace uvic::data {

/// Whatever holds files: a folder, an archive.
class FileContainer {
 public:
  using Take = std::function<void(StoredFile&&)>;

  virtual ~FileContainer() = default;
  virtual std::string kind() const = 0;  ///< "image folder", "zip archive"
  virtual std::string name() const = 0;  ///< as the user gave it, for messages
  /// Calls `take` for every file and folder, in any order.
  virtual void list(const Take& take) const = 0;
  /// The unpacked bytes. Safe to call from several threads. Throws std::runtime_error naming the
  /// file.
  virtual std::string read(const StoredFile& file) const = 0;
  /// A number that changes with the content, cheaper than read. Safe to call from several threads.
  virtual uint32_t checksum(const StoredFile& file) const = 0;
  virtual bool knows_checksums() const = 0;  ///< checksum() reads nothing
  /// Whether files of one key are one example, as WebDataset packs them: KEY.json is of KEY.jpg.
  virtual bool packs_by_key() const { return false; }
  /// The names of classes that files give by number; empty: they have none.
  virtual std::vector<std::string> class_names() const { return {}; }
  /// The name of the class whose images are in that folder.
  virtual std::string name_of_class(const std::string& folder) const { return folder; }
};

/// Whether the path is that of an image that can be read: by its ending, and neither hidden (".x",
/// "__MACOSX") nor in a hidden folder.
bool is_image_path(std::string_view path);

/// A path without the ending of its file: "a/b" of a/b.c.jpg, or "a/b.c" with `last_dot`.
std::string_view path_key(std::string_view path, bool last_dot = false);

constexpr int64_t kMaxClasses = int64_t{1} << 20;

/// The images of a container in the order of their paths (byte by byte), with their classes.
struct Listing {
  FileList files;
  std::vector<int32_t> labels;  ///< empty: unlabelled
  std::vector<std::string> class_names;
  /// What a user should know: files that are no part of the set (counted, the first few named),
  /// labels without a file, numbered class folders whose index is not their number. A line each.
  std::vector<std::string> notes;
};

/// Finds images by the endings of formats::image_endings(), in any case; hidden files and folders
/// (".x", "__MACOSX") are left out, and so are folders that all images share. Classes come from,
/// first that applies:
///
/// 1. dataset.json as EDM's dataset_tool writes it, {"labels": [["00000/a.png", 6], ...]}, labels
///    null for an unlabelled set; our writer adds "class_names", a list that others ignore;
/// 2. a file KEY.cls next to each image KEY.jpg, whose text is its class, as WebDataset has it;
/// 3. in tar archives a file KEY.json next to each image, an object with the class as "cls",
///    "label" or "class": all of them numbers, or all names, which are then numbered in the order
///    of their bytes;
/// 4. the subfolders that hold the images, in the order of their names byte by byte, as
///    torchvision's ImageFolder has them (so "10" comes before "2", which a note says), where there
///    are at least two;
/// 5. none: images in one folder are an unlabelled set, and so are those in folders of a thousand
///    (012/012345.png, 012000/012345.png), which need not hold all of them.
///
/// No class vanishes: a subfolder among the class folders without an image that can be read is an
/// error that names it. Throws std::runtime_error for that, if there are no images, if some are in
/// subfolders and some outside, if a path occurs twice, or if dataset.json lacks an image, gives it
/// anything but a class 0 .. 1048575, if an image lacks its .cls among others that have one or it
/// holds something else, or has fewer class names than classes.
Listing list_images(const FileContainer& container);

}  // namespace uvic::data
