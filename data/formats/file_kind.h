// What a file is, by its first bytes; its name decides only where they don't.
#pragma once

#include <filesystem>
#include <memory>

#include "data/formats/mapped_file.h"

namespace uvic::formats {

enum class FileKind {
  kSafetensors,
  kPth,          ///< of torch.save, zip form or legacy stream
  kTorchScript,  ///< of torch.jit.save
  kNpy,
  kNpz,
  kPictureZip,  ///< any other zip archive
  kPicture,     ///< PNG, JPEG, BMP
  kCifarBatch,  ///< records of CIFAR-10's binary version
  kJson,
  kToml,
  kUnknown
};

/// A damaged file is of the kind that its name tells, so that the reader of that kind says what is
/// wrong with it. Throws std::runtime_error naming a zip archive that is damaged.
FileKind file_kind(const std::shared_ptr<const MappedFile>& file);

}  // namespace uvic::formats
