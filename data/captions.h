// Images with captions, from whatever holds them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/image_file.h"
#include "data/image_listing.h"

namespace uvic::data {

/// Captions of images, in little memory: one text after the other.
class CaptionTable {
 public:
  /// Begins the captions of the next image.
  void add_image() { first_.push_back(static_cast<int64_t>(ends_.size())); }
  /// Adds a caption to the image that was begun last.
  void add_caption(std::string_view caption);

  int64_t images() const { return static_cast<int64_t>(first_.size()); }
  int64_t captions() const { return static_cast<int64_t>(ends_.size()); }
  std::vector<std::string> of(int64_t image) const;

 private:
  std::string text_;
  std::vector<uint64_t> ends_;  // of each caption in text_
  std::vector<int64_t> first_;  // caption of each image
};

/// A set of images, each with one or more captions. Safe to read from several threads.
class CaptionedImages {
 public:
  CaptionedImages(std::unique_ptr<FileContainer> container,
                  std::vector<StoredFile> files,
                  CaptionTable captions,
                  std::string kind,
                  std::vector<std::string> notes);

  int64_t size() const { return static_cast<int64_t>(files_.size()); }
  /// The captions of an image in the order of the source, at least one; UTF-8, none is empty.
  std::vector<std::string> captions(int64_t index) const;
  /// Its path in the folder or archive.
  const std::string& name(int64_t index) const;
  /// The bytes of its file, and the image itself at its own size. Both throw std::runtime_error
  /// naming the file where it can't be read or decoded.
  std::string read(int64_t index) const;
  formats::Image decode(int64_t index) const;

  /// "image folder D: 1000 images, 5000 captions (COCO)", for logs and records.
  std::string describe() const;
  /// What a user should know: captions that were left out, files of other kinds. A line each.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Equal for equal names, sizes, contents and captions in equal order. Contents are the checksums
  /// of an archive's directory, of a folder those of three blocks of each of at most 65536 files.
  std::string fingerprint() const;
  /// The fingerprint in the form of a record: with the contents of a zip, of other containers, or,
  /// as runs recorded it before, without contents.
  std::string fingerprint_like(const std::string& recorded) const;

 private:
  enum class Contents { kNone, kSampled, kWhole };
  void check_index(int64_t index) const;
  std::string fingerprint_with(Contents contents) const;

  std::unique_ptr<FileContainer> container_;
  std::vector<StoredFile> files_;
  CaptionTable captions_;
  std::string kind_;
  std::vector<std::string> notes_;
};

/// Opens captioned images by content:
///
/// - MS-COCO's captions_*.json: {"images": [{"id", "file_name"}], "annotations": [{"image_id",
///   "caption"}]}. Images are in the order of their ids, captions of an image in the order of the
///   file. `images` is the folder (or archive) of the images; where it is empty, the folder that
///   holds them is looked for: next to the file, and next to its folder, also under the name in
///   the file's own ("val2014" of captions_val2014.json).
/// - a folder, zip archive or tar archive (also a brace range of them) with metadata.jsonl or
///   metadata.csv as Hugging Face's image folders have it: file_name, and text, caption or captions
///   (a text or a list); the images are in the order of the lines;
/// - a folder, zip or tar with KEY.txt or KEY.json (its "caption" or "text") next to each image
///   KEY.jpg, as WebDataset has it, in the order of the paths; several lines of a .txt are several
///   captions.
///
/// Captions of white space alone are left out, and so are images without a caption: notes() count
/// and name them. Throws std::runtime_error that counts and names: images that captions are for and
/// that are absent, captions that are not UTF-8; if no image has a caption; for anything else that
/// can't be read.
std::unique_ptr<CaptionedImages> open_captioned_images(const std::string& source,
                                                       const std::string& images = "");

}  // namespace uvic::data
