// Where the captions of a container's images are.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/image_listing.h"

namespace uvic::data {

/// Images and their captions, in order, before anything is checked.
struct CaptionDraft {
  struct Image {
    std::string path;  ///< in the container
    std::vector<std::string> captions;
  };
  std::vector<Image> images;
  std::string kind;    ///< "COCO", "metadata.jsonl", ".txt files", for describe()
  std::string folder;  ///< images below it are the set's, "" or with a slash at its end
  std::string source;  ///< the file or container that captions are from, for messages
  std::vector<std::string> notes;
};

/// MS-COCO's JSON. Throws std::runtime_error if it has another structure.
CaptionDraft read_coco_captions(const std::string& path);

/// The files of a container by their paths.
using FilesByPath = std::unordered_map<std::string, StoredFile>;

/// metadata.jsonl or metadata.csv among the files (the one highest up), or an empty path. Throws
/// std::runtime_error that names `container` where several folders of one depth have such a file.
std::string find_metadata(const std::string& container, const FilesByPath& files);
CaptionDraft read_metadata(const FileContainer& container, const StoredFile& file);

/// KEY.txt or KEY.json next to each of `images`.
CaptionDraft read_captions_beside(const FileContainer& container,
                                  const FilesByPath& files,
                                  const std::vector<std::string>& images);

}  // namespace uvic::data
