// What a file is, by its first bytes; its name decides only where they don't.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/table.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

enum class FileKind {
  kSafetensors,
  kPth,          ///< of torch.save, zip form or legacy stream
  kTorchScript,  ///< of torch.jit.save
  kNpy,
  kNpz,
  kImageZip,    ///< any other zip archive
  kImage,       ///< PNG, JPEG, WebP, BMP
  kCifarBatch,  ///< records of CIFAR-10's binary version
  kJson,
  kToml,
  kUnknown  ///< nothing that uvic reads; content_text says what it is, where it is known
};

/// The head of a file, as the detectors of the table see it.
struct FileHead {
  std::string_view bytes;   ///< of the beginning; at least 512 where there are as many
  std::string_view name;    ///< path, or empty
  uint64_t size_bytes = 0;  ///< of the whole file
  std::shared_ptr<const MappedFile>
      file;  ///< the whole file, or null: zip kinds are recognised by it
};

/// A kind of file: one row serves detection, `uvic inspect` and error messages.
struct FileKindRow {
  const char* name;    ///< short, as "safetensors", "gif"
  const char* help;    ///< in a sentence, as "a GIF image"
  FileKind kind;       ///< kUnknown: known, and not read
  const char* advice;  ///< what to do instead, for kinds that are not read; else empty
  bool (*by_content)(const FileHead& head);  ///< null: never
  bool (*by_name)(const FileHead& head);     ///< null: never; asked where no row knows the content
};

/// In the order in which they are asked.
base::Table<FileKindRow>& file_kinds();

/// The first row whose content test holds, else the first whose name test does, else null.
const FileKindRow* find_file_kind(const FileHead& head);

/// A damaged file is of the kind that its name says, so that the reader of that kind says what is
/// wrong with it. Throws std::runtime_error naming a zip archive that is damaged.
FileKind file_kind(const std::shared_ptr<const MappedFile>& file);

/// "a GIF image; save it as PNG": what bytes are that a reader did not expect, with the advice of
/// its row; empty where no row knows the content.
std::string content_text(std::string_view bytes);

/// ": it is a GIF image; save it as PNG": content_text of kinds that uvic does not read, for the
/// end of a reader's refusal; empty for all others.
std::string foreign_text(std::string_view bytes);
std::string foreign_text(const MappedFile& file);

/// "safetensors, pth, npy, ...": the kinds that uvic reads.
std::string readable_kinds_text();

}  // namespace uvic::formats
