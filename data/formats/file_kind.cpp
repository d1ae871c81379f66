#include "data/formats/file_kind.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/text_format.h"
#include "data/formats/little_endian.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

constexpr size_t kCifarRecordBytes = 3073;

bool begins(const FileHead& head, std::string_view magic) {
  return head.bytes.substr(0, magic.size()) == magic;
}

bool has_at(const FileHead& head, size_t at, std::string_view magic) {
  return head.bytes.size() >= at + magic.size() && head.bytes.substr(at, magic.size()) == magic;
}

bool is_zip(const FileHead& head) { return begins(head, "PK\3\4") || begins(head, "PK\5\6"); }

/// The first text that is no blank, in lower case.
std::string first_word(const FileHead& head, size_t length) {
  const auto begin = head.bytes.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  std::string word(head.bytes.substr(begin, length));
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return word;
}

/// kPth, kTorchScript, kNpz or kImageZip: by the names in the archive.
FileKind kind_of_zip(const std::shared_ptr<const MappedFile>& file) {
  const ZipReader archive(file);
  const auto& entries = archive.entries();
  const auto holds = [&](std::string_view name) {  // at the top or one folder down
    return std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
      return entry.name.substr(entry.name.find('/') + 1) == name;
    });
  };
  if (holds("data.pkl")) return holds("constants.pkl") ? FileKind::kTorchScript : FileKind::kPth;
  const bool arrays =
      !entries.empty() && std::all_of(entries.begin(), entries.end(), [](const auto& entry) {
        return base::ends_with(entry.name, ".npy");
      });
  return arrays ? FileKind::kNpz : FileKind::kImageZip;
}

template <FileKind kind>
bool zip_of(const FileHead& head) {
  if (!is_zip(head)) return false;
  return head.file ? kind_of_zip(head.file) == kind : kind == FileKind::kImageZip;
}

std::string ending_of(const FileHead& head) {
  return std::filesystem::path(head.name).extension().string();
}

bool is_safetensors(const FileHead& head) {
  return head.bytes.size() > 8 && head.bytes[8] == '{' &&
         load_little_endian<uint64_t>(head.bytes.data()) <= head.size_bytes - 8;
}

bool is_image(const FileHead& head) {
  return begins(head, "\x89PNG") || begins(head, "\xff\xd8\xff") ||
         (begins(head, "RIFF") && has_at(head, 8, "WEBP"));
}

bool is_heic(const FileHead& head) {
  if (!has_at(head, 4, "ftyp")) return false;
  for (const auto* brand : {"heic", "heix", "heim", "hevc", "mif1", "msf1", "avif", "avis"})
    if (has_at(head, 8, brand)) return true;
  return false;
}

bool is_html(const FileHead& head) {
  const auto word = first_word(head, 14);
  return word.rfind("<!doctype html", 0) == 0 || word.rfind("<html", 0) == 0;
}

bool is_json(const FileHead& head) {
  const auto text = head.bytes.find_first_not_of(" \t\r\n");
  return text != std::string_view::npos && (head.bytes[text] == '{' || head.bytes[text] == '[');
}

template <FileKind kind>
bool named(const FileHead& head) {
  const auto ending = ending_of(head);
  switch (kind) {
    case FileKind::kSafetensors:
      return ending == ".safetensors";
    case FileKind::kPth:
      return ending == ".pth" || ending == ".pt";
    case FileKind::kNpy:
      return ending == ".npy";
    case FileKind::kNpz:
      return ending == ".npz";
    case FileKind::kJson:
      return ending == ".json";
    case FileKind::kToml:
      return ending == ".toml";
    case FileKind::kCifarBatch:
      return ending == ".bin" && head.size_bytes > 0 && head.size_bytes % kCifarRecordBytes == 0;
    default:
      return false;
  }
}

using K = FileKind;

}  // namespace

base::Table<FileKindRow>& file_kinds() {
  const auto* as_png = "save it as PNG, JPEG or WebP";
  static base::Table<FileKindRow> kinds(
      "file kind",
      {
          // First: the length that safetensors begins with may look like any magic number.
          {"safetensors",
           "tensors in safetensors",
           K::kSafetensors,
           "",
           is_safetensors,
           named<K::kSafetensors>},
          {"torchscript",
           "a TorchScript module",
           K::kTorchScript,
           "",
           zip_of<K::kTorchScript>,
           nullptr},
          {"pth",
           "a file of torch.save",
           K::kPth,
           "",
           [](const FileHead& h) { return begins(h, "\x80\x02") || zip_of<K::kPth>(h); },
           named<K::kPth>},
          {"npz", "NumPy arrays (.npz)", K::kNpz, "", zip_of<K::kNpz>, named<K::kNpz>},
          {"zip", "a zip archive of images", K::kImageZip, "", zip_of<K::kImageZip>, nullptr},
          {"npy",
           "a NumPy array (.npy)",
           K::kNpy,
           "",
           [](const FileHead& h) { return begins(h, "\x93NUMPY"); },
           named<K::kNpy>},
          {"image", "an image (PNG, JPEG, WebP or BMP)", K::kImage, "", is_image, nullptr},
          {"lfs",
           "a Git LFS pointer, not the file itself",
           K::kUnknown,
           "run: git lfs pull",
           [](const FileHead& h) { return begins(h, "version https://git-lfs.github.com/spec"); },
           nullptr},
          {"html",
           "an HTML page, as a failed download leaves it",
           K::kUnknown,
           "download the file itself",
           is_html,
           nullptr},
          {"xml",
           "an XML page, as a refused download leaves it",
           K::kUnknown,
           "download the file itself",
           [](const FileHead& h) { return first_word(h, 5) == "<?xml"; },
           nullptr},
          {"gzip",
           "a gzip file",
           K::kUnknown,
           "unpack it first",
           [](const FileHead& h) { return begins(h, "\x1f\x8b"); },
           nullptr},
          {"tar",
           "a tar archive",
           K::kUnknown,
           "it may be a set of images; else unpack it",
           [](const FileHead& h) { return has_at(h, 257, "ustar"); },
           nullptr},
          {"xz",
           "an xz file",
           K::kUnknown,
           "unpack it first",
           [](const FileHead& h) {
             return begins(h,
                           {"\xfd"
                            "7zXZ\0",
                            6});
           },
           nullptr},
          {"bzip2",
           "a bzip2 file",
           K::kUnknown,
           "unpack it first",
           [](const FileHead& h) { return begins(h, "BZh") && has_at(h, 4, "1AY&SY"); },
           nullptr},
          {"zstd",
           "a Zstandard file",
           K::kUnknown,
           "unpack it first",
           [](const FileHead& h) { return begins(h, "\x28\xb5\x2f\xfd"); },
           nullptr},
          {"7z",
           "a 7-Zip archive",
           K::kUnknown,
           "unpack it, or make a zip of it",
           [](const FileHead& h) { return begins(h, "7z\xbc\xaf\x27\x1c"); },
           nullptr},
          {"rar",
           "a RAR archive",
           K::kUnknown,
           "unpack it, or make a zip of it",
           [](const FileHead& h) { return begins(h, "Rar!\x1a\x07"); },
           nullptr},
          {"hdf5",
           "an HDF5 file",
           K::kUnknown,
           "save its arrays as .npz",
           [](const FileHead& h) { return begins(h, "\x89HDF\r\n\x1a\n"); },
           nullptr},
          {"gif",
           "a GIF image",
           K::kUnknown,
           as_png,
           [](const FileHead& h) { return begins(h, "GIF87a") || begins(h, "GIF89a"); },
           nullptr},
          {"tiff",
           "a TIFF image",
           K::kUnknown,
           as_png,
           [](const FileHead& h) {
             return begins(h, {"II*\0", 4}) || begins(h, {"MM\0*", 4}) || begins(h, {"II+\0", 4}) ||
                    begins(h, {"MM\0+", 4});
           },
           nullptr},
          {"heif", "a HEIC or AVIF image", K::kUnknown, as_png, is_heic, nullptr},
          {"jxl",
           "a JPEG XL image",
           K::kUnknown,
           as_png,
           [](const FileHead& h) {
             return begins(h, "\xff\x0a") || begins(h, {"\0\0\0\x0cJXL ", 8});
           },
           nullptr},
          {"jp2",
           "a JPEG 2000 image",
           K::kUnknown,
           as_png,
           [](const FileHead& h) {
             return begins(h, {"\0\0\0\x0cjP  ", 8});
           },
           nullptr},
          {"psd",
           "a Photoshop image",
           K::kUnknown,
           as_png,
           [](const FileHead& h) { return begins(h, "8BPS"); },
           nullptr},
          {"empty",
           "an empty file",
           K::kUnknown,
           "fetch it again",
           [](const FileHead& h) { return h.size_bytes == 0 && h.name.empty(); },
           nullptr},
          {"cifar10",
           "a batch of CIFAR-10's binary version",
           K::kCifarBatch,
           "",
           nullptr,
           named<K::kCifarBatch>},
          {"toml", "a training config", K::kToml, "", nullptr, named<K::kToml>},
          {"json", "JSON", K::kJson, "", nullptr, named<K::kJson>},
      });
  return kinds;
}

const FileKindRow* find_file_kind(const FileHead& head) {
  for (const auto& row : file_kinds())
    if (row.by_content && row.by_content(head)) return &row;
  for (const auto& row : file_kinds())
    if (row.by_name && row.by_name(head)) return &row;
  // Two letters are too little to go before a name.
  if (begins(head, "BM")) return file_kinds().find("image");
  return is_json(head) ? file_kinds().find("json") : nullptr;
}

FileKind file_kind(const std::shared_ptr<const MappedFile>& file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
  const auto* row = find_file_kind({bytes, file->name(), file->size(), file});
  return row ? row->kind : FileKind::kUnknown;
}

namespace {

const FileKindRow* row_by_content(std::string_view bytes) {
  const FileHead head{bytes, "", bytes.size(), nullptr};
  for (const auto& row : file_kinds())
    if (row.by_content && row.by_content(head)) return &row;
  return nullptr;
}

std::string text_of(const FileKindRow& row) {
  return *row.advice ? fmt::format("{}; {}", row.help, row.advice) : row.help;
}

}  // namespace

std::string content_text(std::string_view bytes) {
  const auto* row = row_by_content(bytes);
  return row ? text_of(*row) : "";
}

std::string foreign_text(std::string_view bytes) {
  const auto* row = row_by_content(bytes);
  return row && row->kind == FileKind::kUnknown ? ": it is " + text_of(*row) : "";
}

std::string foreign_text(const MappedFile& file) {
  return foreign_text(std::string_view(reinterpret_cast<const char*>(file.data()), file.size()));
}

std::string readable_kinds_text() {
  std::vector<std::string> names;
  for (const auto& row : file_kinds())
    if (row.kind != FileKind::kUnknown) names.emplace_back(row.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace uvic::formats
