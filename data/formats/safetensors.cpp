#include "data/formats/safetensors.h"

#include <c10/util/accumulate.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"
#include "data/formats/json.h"
#include "data/formats/little_endian.h"
#include "data/formats/xxh64.h"

namespace uvic::formats {
namespace {

using nlohmann::json;

constexpr uint64_t kHeaderLimit = 100'000'000;  // bytes, that of the reference implementation

struct StoredType {
  const char* name;
  torch::ScalarType type;
};
constexpr StoredType kStoredTypes[] = {{"F64", torch::kFloat64},
                                       {"F32", torch::kFloat32},
                                       {"F16", torch::kFloat16},
                                       {"BF16", torch::kBFloat16},
                                       {"I64", torch::kInt64},
                                       {"I32", torch::kInt32},
                                       {"I16", torch::kInt16},
                                       {"I8", torch::kInt8},
                                       {"U8", torch::kUInt8},
                                       {"BOOL", torch::kBool},
                                       {"C64", torch::kComplexFloat}};

std::string dtype_names() {
  std::string names;
  for (const auto& dtype : kStoredTypes)
    names += (names.empty() ? "" : ", ") + std::string(dtype.name);
  return names;
}

/// One row of the header.
struct Entry {
  std::string name;
  torch::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // bytes after the header
};

constexpr const char* kChecksumKey = "uvic.checksum";
const std::string kChecksumKind = "xxh64:";

// Length before text: no two lists of words have the same bytes.
void add_to_hash(Xxh64& hash, const std::string& word) {
  std::string length;
  append_little_endian<uint64_t>(length, word.size());
  hash.update(length.data(), length.size());
  hash.update(word.data(), word.size());
}

void add_to_hash(Xxh64& hash,
                 const std::string& name,
                 torch::ScalarType dtype,
                 at::IntArrayRef shape) {
  add_to_hash(hash, name);
  add_to_hash(hash, fmt::format("{} {}", c10::toString(dtype), fmt::join(shape, ",")));
}

Xxh64 hash_of_metadata(const std::map<std::string, std::string>& metadata) {
  Xxh64 hash;
  for (const auto& [key, value] : metadata) add_to_hash(hash, key), add_to_hash(hash, value);
  return hash;
}

Xxh64 hash_of_header(const std::map<std::string, std::string>& metadata,
                     const std::vector<Entry>& entries) {
  auto hash = hash_of_metadata(metadata);
  for (const auto& entry : entries) add_to_hash(hash, entry.name, entry.dtype, entry.shape);
  return hash;
}

class Reader {
 public:
  explicit Reader(const std::shared_ptr<const MappedFile>& file) : file_(file) {}

  TensorFile read(Checksum checksum) {
    const json header = read_header();
    TensorFile result;
    std::vector<Entry> entries;
    for (const auto& [name, row] : header.items()) {
      if (name == "__metadata__") {
        result.metadata = read_metadata(row);
      } else {
        entries.push_back(read_entry(name, row));
      }
    }
    const auto stored = result.metadata.extract(kChecksumKey);
    const auto hash = hash_of_header(result.metadata, entries);  // in the order of the names
    check_layout(entries);
    if (stored && checksum == Checksum::kVerified) verify(stored.mapped(), hash);
    for (const auto& entry : entries) {
      result.tensors.emplace(entry.name,
                             tensor_over(file_, data_at_ + entry.begin, entry.shape, entry.dtype));
    }
    return result;
  }

 private:
  template <class... Args>
  std::runtime_error fault(fmt::format_string<Args...> text, Args&&... args) const {
    return file_error(
        file_->name(),
        "not a valid safetensors file: " + fmt::format(text, std::forward<Args>(args)...));
  }

  json read_header() {
    if (file_->size() < 8)
      throw fault("{} bytes; the length of the header already takes 8", file_->size());
    const auto length = load_little_endian<uint64_t>(file_->data());
    if (length == 0 || length > file_->size() - 8) {
      const auto kind = foreign_text(*file_);
      if (!kind.empty()) throw file_error(file_->name(), "not a valid safetensors file" + kind);
      if (length == 0) throw fault("its header is empty");
      throw fault(
          "its header of {} bytes ends beyond the file's {}; truncated?", length, file_->size());
    }
    if (length > kHeaderLimit)
      throw fault("its header of {} bytes exceeds {}", length, kHeaderLimit);
    data_at_ = 8 + length;
    auto header = parse_json({reinterpret_cast<const char*>(file_->data()) + 8, length},
                             file_->name() + ": safetensors header",
                             {kHeaderLimit, 8});
    if (!header.is_object()) throw fault("its header is not a JSON object");
    return header;
  }

  std::map<std::string, std::string> read_metadata(const json& row) const {
    if (!row.is_object()) throw fault("__metadata__ is not a JSON object");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, value] : row.items()) {
      if (!value.is_string()) throw fault("__metadata__.{} is not a string", key);
      metadata.emplace(key, value.get<std::string>());
    }
    return metadata;
  }

  Entry read_entry(const std::string& name, const json& row) const {
    const auto has = [&](const char* key, auto is_kind) {
      return row.is_object() && row.contains(key) && (row[key].*is_kind)();
    };
    if (!has("dtype", &json::is_string) || !has("shape", &json::is_array) ||
        !has("data_offsets", &json::is_array) || row["data_offsets"].size() != 2) {
      throw fault("{} lacks a dtype, a shape or two data_offsets", name);
    }
    const auto number = [&](const json& value) {
      if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{INT64_MAX}) {
        throw fault("{}: {} is not a size", name, value.dump());
      }
      return value.get<int64_t>();
    };
    Entry entry{name, dtype_of(name, row["dtype"].get<std::string>()), {}, 0, 0};
    for (const auto& size : row["shape"]) entry.shape.push_back(number(size));
    if (entry.shape.size() > 64) throw fault("{} has {} dimensions", name, entry.shape.size());
    entry.begin = static_cast<uint64_t>(number(row["data_offsets"][0]));
    entry.end = static_cast<uint64_t>(number(row["data_offsets"][1]));
    const uint64_t available = file_->size() - data_at_;
    if (entry.begin > entry.end || entry.end > available) {
      throw fault(
          "{} is at bytes {} to {} of {}; truncated?", name, entry.begin, entry.end, available);
    }
    const int64_t numel = checked_numel(entry.shape);
    const uint64_t size = entry.end - entry.begin;
    if (numel < 0 || static_cast<uint64_t>(numel) * c10::elementSize(entry.dtype) != size) {
      throw fault(
          "{} is {} {} but has {} bytes", name, row["dtype"].dump(), row["shape"].dump(), size);
    }
    return entry;
  }

  torch::ScalarType dtype_of(const std::string& tensor, const std::string& name) const {
    for (const auto& dtype : kStoredTypes) {
      if (name == dtype.name) return dtype.type;
    }
    throw fault("{} has dtype {}; known are {}", tensor, name, dtype_names());
  }

  // The format allows no overlap and no gap, so that a file means one thing only.
  void check_layout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    uint64_t at = 0;
    for (const auto& entry : entries) {
      if (entry.begin != at) {
        throw fault(
            "{} begins at byte {}, the tensor before it ends at {}", entry.name, entry.begin, at);
      }
      at = entry.end;
    }
    if (at != file_->size() - data_at_) {
      throw fault("the tensors end at byte {} of {}", at, file_->size() - data_at_);
    }
  }

  void verify(const std::string& stored, Xxh64 hash) const {
    // Of a later version, maybe: another kind of checksum says nothing here.
    if (stored.rfind(kChecksumKind, 0) != 0) return;
    hash.update(file_->data() + data_at_, file_->size() - data_at_);
    file_->require_unchanged();
    if (kChecksumKind + hash.hex() == stored) return;
    throw file_error(file_->name(),
                     fmt::format("damaged: its checksum is {}{}, it was written with {}; use a "
                                 "copy (a program that changed it on purpose must drop {} from "
                                 "its metadata)",
                                 kChecksumKind,
                                 hash.hex(),
                                 stored,
                                 kChecksumKey));
  }

  std::shared_ptr<const MappedFile> file_;
  uint64_t data_at_ = 0;
};

std::string dtype_name(const std::string& tensor, torch::ScalarType type) {
  for (const auto& dtype : kStoredTypes) {
    if (type == dtype.type) return dtype.name;
  }
  throw std::invalid_argument(fmt::format("write_safetensors: {} is {}; the format has {}",
                                          tensor,
                                          c10::toString(type),
                                          dtype_names()));
}

}  // namespace

TensorFile read_safetensors(const std::filesystem::path& path, Checksum checksum) {
  return read_safetensors(MappedFile::open(path), checksum);
}

TensorFile read_safetensors(const std::shared_ptr<const MappedFile>& file, Checksum checksum) {
  return Reader(file).read(checksum);
}

namespace {

using NamedTensor = std::pair<std::string, MadeTensor>;

// Widest elements first, so that each tensor is aligned to its element size.
std::vector<NamedTensor> in_file_order(const std::map<std::string, MadeTensor>& tensors) {
  std::vector<NamedTensor> order(tensors.begin(), tensors.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return c10::elementSize(a.second.dtype) > c10::elementSize(b.second.dtype);
  });
  return order;
}

/// The header as it is in the file, its length a multiple of 8.
std::string header_text(const std::vector<NamedTensor>& order,
                        const std::map<std::string, std::string>& metadata) {
  json header = json::object();
  header["__metadata__"] = metadata;
  uint64_t at = 0;
  for (const auto& [name, tensor] : order) {
    if (name == "__metadata__") {
      throw std::invalid_argument("write_safetensors: a tensor can't be named __metadata__");
    }
    const uint64_t end = at + static_cast<uint64_t>(c10::multiply_integers(tensor.shape)) *
                                  c10::elementSize(tensor.dtype);
    header[name] = {{"dtype", dtype_name(name, tensor.dtype)},
                    {"shape", tensor.shape},
                    {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    throw std::invalid_argument("write_safetensors: a tensor's name or the metadata is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  std::map<std::string, MadeTensor> tensors;
  for (const auto& [name, tensor] : file.tensors)
    tensors.emplace(
        name, MadeTensor{tensor.scalar_type(), tensor.sizes().vec(), [t = tensor] { return t; }});
  write_safetensors(path, tensors, file.metadata);
}

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, MadeTensor>& tensors,
                       std::map<std::string, std::string> metadata) {
  const auto order = in_file_order(tensors);
  metadata.erase(kChecksumKey);
  auto hash = hash_of_metadata(metadata);
  for (const auto& [name, tensor] : tensors) add_to_hash(hash, name, tensor.dtype, tensor.shape);

  // The checksum is known after the last byte: a header of the same length makes room for it.
  AtomicFile out(path);
  if (out.is_rewritable()) metadata[kChecksumKey] = kChecksumKind + std::string(16, '0');
  auto text = header_text(order, metadata);
  std::string length;
  append_little_endian<uint64_t>(length, text.size());
  out.write(length.data(), length.size());
  out.write(text.data(), text.size());
  for (const auto& [name, tensor] : order) {
    const auto plain = tensor.make().detach().to(torch::kCPU).contiguous();
    TORCH_INTERNAL_ASSERT(plain.scalar_type() == tensor.dtype && plain.sizes() == tensor.shape);
    hash.update(plain.data_ptr(), plain.nbytes());
    out.write(plain.data_ptr(), plain.nbytes());
  }
  if (out.is_rewritable()) {
    metadata[kChecksumKey] = kChecksumKind + hash.hex();
    text = header_text(order, metadata);
    out.rewrite(length.size(), text.data(), text.size());
  }
  out.commit();
}

}  // namespace uvic::formats
