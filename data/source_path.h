// "PATH:part", as sources of data are named.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>

namespace uvic::data {

/// PATH, and the part that ":train" or ":test" at its end names; without one, or where the whole
/// text is the name of something that exists, the part is empty.
struct PathAndPart {
  std::filesystem::path path;
  std::string part;
};
PathAndPart split_part(const std::string& source,
                       std::initializer_list<const char*> parts = {"train", "test"});

/// Whether it names images that are made on the fly: "procedural", "procedural_text", with a seed.
bool is_made_on_the_fly(const std::string& source);

/// False also where the path can't be asked for: a name too long, a folder that is closed to us.
bool is_there(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

}  // namespace uvic::data
