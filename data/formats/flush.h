// What was written survives a loss of power.
#pragma once

#include <filesystem>

namespace uvic::formats {

/// Flushes a file, or the names in a folder, to the disk. What can't be flushed (a folder that may
/// not be read, a file system that refuses it) is passed over.
void flush_to_disk(const std::filesystem::path& path);

}  // namespace uvic::formats
