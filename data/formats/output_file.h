// An output that can't be written is reported before the work, not after it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace uvic::formats {

/// Throws std::invalid_argument where a path looks like a stream ("-") or a flag ("--report"): more
/// likely a slip than the name of a file. "./-" is one.
void refuse_flag_as_path(const std::filesystem::path& path);

/// Throws std::runtime_error unless `path` can become a file: its folder is there, it is no folder
/// itself; and, unless `overwrite`, std::invalid_argument where a file exists. Devices and FIFOs
/// are written into (AtomicFile), and are not asked about.
void check_output_file(const std::filesystem::path& path, bool overwrite);

/// The same where what exists is replaced, and that a file can be made in the folder: by making
/// one, since permissions alone do not decide (/proc, a disk mounted read-only).
void check_writable_file(const std::filesystem::path& path);

/// Throws std::invalid_argument where two of `outputs` are one file, or one of them is a file of
/// `inputs`, by whatever path or link. Empty names are left out.
void refuse_same_file(const std::vector<std::string>& outputs,
                      const std::vector<std::string>& inputs);

}  // namespace uvic::formats
