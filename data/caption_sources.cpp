#include "data/caption_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>

#include "base/thread_loop.h"
#include "data/formats/csv.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"

namespace uvic::data {
namespace {

using nlohmann::json;

constexpr const char* kColumns[] = {"text", "caption", "captions"};
constexpr uint64_t kLargestCaptionFile = uint64_t{16} << 20;  // bytes, next to an image
constexpr size_t kNamedStrays = 3;                            // files that a note names

/// Texts of a value: one, or those of a list. Nothing where it is neither.
std::optional<std::vector<std::string>> texts_of(const json& value) {
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  if (value.is_null()) return std::vector<std::string>{};
  if (!value.is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& item : value) {
    if (!item.is_string()) return std::nullopt;
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

std::vector<std::string> captions_of_lines(std::string_view text) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";  // what some editors put before UTF-8
  if (text.substr(0, kMark.size()) == kMark) text.remove_prefix(kMark.size());
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of("\r\n"), text.size());
    if (end > 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// {"file_name": ..., "text": ...} on each line.
void read_json_lines(std::string_view text, const std::string& name, CaptionDraft& draft) {
  size_t line = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line;
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto where = fmt::format("{} line {}", name, line);
    const auto row = formats::parse_json(content, where);
    if (!row.is_object() || !row.contains("file_name") || !row["file_name"].is_string())
      throw formats::file_error(where, "want an object with \"file_name\" and \"text\"");
    CaptionDraft::Image image{row["file_name"].get<std::string>(), {}};
    const auto column = std::find_if(
        std::begin(kColumns), std::end(kColumns), [&](const char* c) { return row.contains(c); });
    if (column == std::end(kColumns)) {
      std::vector<std::string> keys;
      for (const auto& [key, value] : row.items()) keys.push_back(key);
      throw formats::file_error(where,
                                fmt::format("no caption: it has {}, want one of {}",
                                            fmt::join(keys, ", "),
                                            fmt::join(kColumns, ", ")));
    }
    auto texts = texts_of(row[*column]);
    if (!texts)
      throw formats::file_error(where,
                                fmt::format("{} is neither a text nor a list of texts", *column));
    image.captions = std::move(*texts);
    draft.images.push_back(std::move(image));
  }
}

void read_csv_rows(std::string_view text, const std::string& name, CaptionDraft& draft) {
  const auto rows = formats::parse_csv(text, name);
  if (rows.empty()) throw formats::file_error(name, "empty");
  const auto& head = rows.front();
  const auto column = [&](const char* wanted) -> std::optional<size_t> {
    const auto found = std::find(head.begin(), head.end(), wanted);
    if (found == head.end()) return std::nullopt;
    return static_cast<size_t>(found - head.begin());
  };
  std::optional<size_t> caption;
  for (const auto* wanted : kColumns)
    if (!caption) caption = column(wanted);
  const auto file = column("file_name");
  if (!file || !caption)
    throw formats::file_error(name,
                              fmt::format("its first row is {}, want file_name and one of {}",
                                          fmt::join(head, ", "),
                                          fmt::join(kColumns, ", ")));
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].size() != head.size())
      throw formats::file_error(
          name,
          fmt::format(
              "row {} has {} fields, the first has {}", i + 1, rows[i].size(), head.size()));
    draft.images.push_back({rows[i][*file], {rows[i][*caption]}});
  }
}

/// Captions of KEY.txt: a line each; of KEY.json: its "caption" or "text".
std::vector<std::string> captions_in(const FileContainer& container, const StoredFile& file) {
  const auto name = container.name() + "/" + file.path;
  if (file.size_bytes > kLargestCaptionFile)
    throw formats::file_error(name,
                              fmt::format("{} bytes, too many for captions", file.size_bytes));
  const auto text = container.read(file);
  if (file.path.size() < 5 || file.path.compare(file.path.size() - 5, 5, ".json") != 0)
    return captions_of_lines(text);
  const auto value = formats::parse_json(text, name);
  if (!value.is_object()) return {};
  for (const auto* key : {"caption", "text", "captions"})
    if (value.contains(key))
      if (auto texts = texts_of(value[key])) return *texts;
  return {};
}

int64_t id_of(const json& object, const char* key, const std::string& name) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number_integer())
    throw formats::file_error(
        name, fmt::format("an entry without \"{}\", so it is not COCO's list of captions", key));
  return object[key].get<int64_t>();
}

std::string text_of(const json& object, const char* key, const std::string& name) {
  if (!object.contains(key) || !object[key].is_string())
    throw formats::file_error(
        name, fmt::format("an entry without \"{}\", so it is not COCO's list of captions", key));
  return object[key].get<std::string>();
}

}  // namespace

CaptionDraft read_coco_captions(const std::string& path) {
  const auto file = formats::read_json(path, {size_t{1} << 30, 64, size_t{1} << 26});
  for (const auto* key : {"images", "annotations"})
    if (!file.is_object() || !file.contains(key) || !file[key].is_array())
      throw formats::file_error(
          path,
          fmt::format("JSON without a list \"{}\", so it is not COCO's captions_*.json", key));
  CaptionDraft draft;
  draft.kind = "COCO";
  draft.source = path;
  std::map<int64_t, CaptionDraft::Image> images;  // by id, in its order
  for (const auto& image : file["images"]) {
    const auto id = id_of(image, "id", path);
    if (!images.emplace(id, CaptionDraft::Image{text_of(image, "file_name", path), {}}).second)
      throw formats::file_error(path, fmt::format("two images have the id {}", id));
  }
  size_t strays = 0;
  int64_t first_stray = 0;
  for (const auto& annotation : file["annotations"]) {
    const auto id = id_of(annotation, "image_id", path);
    const auto found = images.find(id);
    if (found != images.end()) {
      found->second.captions.push_back(text_of(annotation, "caption", path));
    } else if (strays++ == 0) {
      first_stray = id;
    }
  }
  if (strays > 0)
    throw formats::file_error(
        path,
        fmt::format("{} captions are of images that it does not list, the first of image {}",
                    strays,
                    first_stray));
  draft.images.reserve(images.size());
  for (auto& [id, image] : images) draft.images.push_back(std::move(image));
  return draft;
}

std::string find_metadata(const std::string& container, const FilesByPath& files) {
  std::string found;
  const auto depth = [](const std::string& path) {
    return std::count(path.begin(), path.end(), '/');
  };
  for (const auto& [path, file] : files) {
    const auto name = path.substr(path.rfind('/') + 1);
    if (name != "metadata.jsonl" && name != "metadata.csv") continue;
    const auto order = [&](const std::string& p) { return std::pair(depth(p), p); };
    if (found.empty() || order(path) < order(found)) found = path;
  }
  // Parts of a set, such as train/ and test/: which one is meant can't be seen.
  std::set<std::string> folders;
  for (const auto& [path, file] : files) {
    const auto folder = folder_of(path), name = path.substr(folder.size());
    if ((name == "metadata.jsonl" || name == "metadata.csv") && depth(path) == depth(found))
      folders.insert(folder);
  }
  if (folders.size() > 1)
    throw formats::file_error(
        container,
        fmt::format("{} parts with metadata of their own: {}; give one of these folders",
                    folders.size(),
                    fmt::join(folders, ", ")));
  return found;
}

CaptionDraft read_metadata(const FileContainer& container, const StoredFile& file) {
  const auto name = container.name() + "/" + file.path;
  if (file.size_bytes > (uint64_t{4} << 30)) throw formats::file_error(name, "more than 4 GiB");
  const auto text = container.read(file);
  CaptionDraft draft;
  draft.source = name;
  draft.kind = file.path.substr(file.path.rfind('/') + 1);
  if (draft.kind == "metadata.csv")
    read_csv_rows(text, name, draft);
  else
    read_json_lines(text, name, draft);
  draft.folder = folder_of(file.path);
  for (auto& image : draft.images) {
    while (image.path.rfind("./", 0) == 0) image.path.erase(0, 2);
    image.path.insert(0, draft.folder);
  }
  return draft;
}

CaptionDraft read_captions_beside(const FileContainer& container,
                                  const FilesByPath& files,
                                  const std::vector<std::string>& images) {
  CaptionDraft draft;
  draft.source = container.name();
  draft.images.resize(images.size());
  std::vector<const StoredFile*> sources(images.size(), nullptr);
  std::set<const StoredFile*> of_namesakes;  // a.txt where there is an a.jpg
  std::vector<char> is_namesake(images.size(), 0);
  size_t texts = 0, jsons = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    draft.images[i].path = images[i];
    for (const char* ending : {".txt", ".json"}) {
      for (const bool last_dot : {true, false}) {
        const auto found = files.find(std::string(path_key(images[i], last_dot)) + ending);
        if (sources[i] || found == files.end()) continue;
        sources[i] = &found->second;
        if (last_dot) of_namesakes.insert(sources[i]), is_namesake[i] = 1;
      }
    }
  }
  for (size_t i = 0; i < images.size(); ++i) {
    // Then WebDataset's a.seg.png is another thing that belongs to a.jpg, not a second image.
    if (!is_namesake[i] && of_namesakes.count(sources[i])) sources[i] = nullptr;
    if (!sources[i]) continue;
    const auto& path = sources[i]->path;
    ++(path.compare(path.size() - 4, 4, ".txt") == 0 ? texts : jsons);
  }
  base::parallel_for(static_cast<int64_t>(images.size()), 0, [&](int64_t i) {
    const auto index = static_cast<size_t>(i);
    if (sources[index]) draft.images[index].captions = captions_in(container, *sources[index]);
  });
  draft.kind = texts > 0 && jsons > 0 ? ".txt and .json files"
               : jsons > 0            ? ".json files"
                                      : ".txt files";
  // Text files of no image: a misspelt name would otherwise go unseen.
  std::vector<std::string> used;
  for (const auto* source : sources)
    if (source) used.push_back(source->path);
  std::sort(used.begin(), used.end());
  std::vector<std::string> strays;
  for (const auto& [path, file] : files)
    if (path.size() > 4 && path.compare(path.size() - 4, 4, ".txt") == 0 &&
        !std::binary_search(used.begin(), used.end(), path))
      strays.push_back(path);
  std::sort(strays.begin(), strays.end());
  if (!strays.empty())
    draft.notes.push_back(fmt::format(
        "{} .txt file{} without an image: {}{}",
        strays.size(),
        strays.size() == 1 ? "" : "s",
        fmt::join(
            strays.begin(),
            strays.begin() + static_cast<std::ptrdiff_t>(std::min(strays.size(), kNamedStrays)),
            ", "),
        strays.size() > kNamedStrays ? ", ..." : ""));
  return draft;
}

}  // namespace uvic::data
