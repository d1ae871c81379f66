#include "data/image_container.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/file_kind.h"
#include "data/image_folder.h"
#include "data/image_tars.h"
#include "data/image_zip.h"

namespace uvic::data {

std::unique_ptr<FileContainer> open_container(const std::string& source) {
  if (const auto tars = find_tars(source); !tars.empty()) return open_image_tars(source, tars);
  std::error_code error;
  if (std::filesystem::is_directory(source, error)) return open_image_folder(source);
  if (!std::filesystem::exists(source, error))
    throw std::runtime_error(source + ": no such file or folder");
  const auto head = formats::read_beginning(source, 512);
  if (head.rfind("PK\3\4", 0) == 0 || head.rfind("PK\5\6", 0) == 0) return open_image_zip(source);
  const auto kind = formats::content_text(head);
  throw std::runtime_error(fmt::format("{}: neither a folder of images nor a zip or tar archive{}",
                                       source,
                                       kind.empty() ? "" : ": it is " + kind));
}

}  // namespace uvic::data
