#include "data/formats/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"
#include "data/formats/little_endian.h"
#include "data/formats/npy_integers.h"
#include "data/formats/numpy_array.h"

namespace uvic::formats {
namespace {

/// A stretch of a file that holds one .npy.
struct Span {
  std::shared_ptr<const MappedFile> file;
  size_t begin, size;
  std::string entry;  // of an archive: "mu.npy: "
};

std::runtime_error array_error(const Span& span, const std::string& text) {
  return file_error(span.file->name(), span.entry + "not a valid .npy array: " + text);
}

struct Header {
  ArrayInfo info{torch::kUInt8, {}, false};
  bool is_big_endian = false;
  bool is_object = false;  // pickled; info.dtype says nothing
  // Of uint16, uint32 or uint64: info.dtype is the signed type of the same size.
  bool is_unsigned = false;
  size_t data_at = 0;  // after the span's begin
};

/// Reads the Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const Span& span) : text_(text), span_(span) {}

  Header parse() {
    Header header;
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const auto key = quoted();
      expect(':');
      if (key == "descr") {
        has_descr = true;
        read_descr(header);
      } else if (key == "fortran_order") {
        has_order = true;
        header.info.is_fortran = read_bool();
      } else if (key == "shape") {
        has_shape = true;
        header.info.shape = read_shape();
      } else {
        throw fault(fmt::format("unknown key '{}' in its header", key));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!has_descr || !has_order || !has_shape) {
      throw fault("its header lacks descr, fortran_order or shape");
    }
    return header;
  }

 private:
  std::runtime_error fault(const std::string& text) const { return array_error(span_, text); }
  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool accept(char wanted) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted))
      throw fault(fmt::format("expected '{}' at byte {} of its header", wanted, at_));
  }
  std::string_view quoted() {
    const char quote = accept('\'') ? '\'' : (expect('"'), '"');
    const size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) throw fault("a string in its header does not end");
    const auto result = text_.substr(at_, end - at_);
    at_ = end + 1;
    return result;
  }
  bool read_bool() {
    skip_blanks();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    throw fault("fortran_order is neither True nor False");
  }
  std::vector<int64_t> read_shape() {
    std::vector<int64_t> shape;
    expect('(');
    while (!accept(')')) {
      skip_blanks();
      int64_t size = 0;
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) throw fault("its shape holds no size");
      at_ = static_cast<size_t>(end - text_.data());
      accept('L');  // Python 2
      shape.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    if (shape.size() > 64) throw fault(fmt::format("it has {} dimensions", shape.size()));
    return shape;
  }
  void read_descr(Header& header) {
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '[') throw fault("it is an array of records");
    const auto descr = quoted();
    if (!descr.empty() && std::string_view("<>=|").find(descr[0]) != std::string_view::npos) {
      if (const auto dtype = numpy_dtype(descr.substr(1))) {
        header.info.dtype = *dtype;
        header.is_big_endian = descr[0] == '>';
        return;
      }
    }
    if (descr == "|O" || descr == "O") {
      header.is_object = true;
      return;
    }
    for (const auto& [code, dtype] :
         {std::pair("u2", torch::kInt16), {"u4", torch::kInt32}, {"u8", torch::kInt64}}) {
      if (descr.empty() || descr.substr(1) != code) continue;
      header.info.dtype = dtype;
      header.is_big_endian = descr[0] == '>';
      header.is_unsigned = true;
      return;
    }
    throw fault(fmt::format(
        "its dtype '{}' is not supported; in Python: numpy.save(path, x.astype('float32'))",
        descr));
  }

  std::string_view text_;
  size_t at_ = 0;
  const Span& span_;
};

Header parse_header(const Span& span) {
  const auto fault = [&](const std::string& text) { return array_error(span, text); };
  const std::string_view bytes(reinterpret_cast<const char*>(span.file->data()) + span.begin,
                               span.size);
  if (bytes.substr(0, kNpyMagic.size()) != kNpyMagic)
    throw fault("it does not begin as one" + foreign_text(bytes));
  const size_t length_at = kNpyMagic.size() + 2;
  const int version = bytes.size() > kNpyMagic.size() ? bytes[kNpyMagic.size()] : 0;
  if (version < 1 || version > 3) throw fault(fmt::format("version {}, known are 1 to 3", version));
  const size_t text_at = length_at + (version == 1 ? 2 : 4);
  if (bytes.size() < text_at) throw fault("truncated");
  const size_t length = version == 1 ? load_little_endian<uint16_t>(bytes.data() + length_at)
                                     : load_little_endian<uint32_t>(bytes.data() + length_at);
  if (length > bytes.size() - text_at) {
    throw fault(fmt::format("truncated: a header of {} bytes in {}", length, bytes.size()));
  }
  Header header = HeaderParser(bytes.substr(text_at, length), span).parse();
  header.data_at = text_at + length;
  return header;
}

/// The header of an array that is no pickled object. `any_integers`: of those that LibTorch 1.13
/// has no type for too.
Header parse_array_header(const Span& span, bool any_integers = false) {
  Header header = parse_header(span);
  if (header.is_unsigned && !any_integers)
    throw array_error(span,
                      fmt::format("its dtype uint{} is not supported here; in Python: "
                                  "numpy.save(path, x.astype('int64')), or 'float32' for images",
                                  8 * c10::elementSize(header.info.dtype)));
  if (header.is_object)
    throw array_error(span,
                      "it is a pickled Python object; in Python: d = numpy.load(path, "
                      "allow_pickle=True).item(); numpy.savez(path, **d)");
  return header;
}

torch::Tensor read_span(const Span& span, bool* is_unsigned = nullptr) {
  const Header header = parse_array_header(span, is_unsigned != nullptr);
  if (is_unsigned) *is_unsigned = header.is_unsigned;
  const size_t available = span.size - header.data_at;
  auto array = numpy_array(
      span.file, span.begin + header.data_at, available, header.info, header.is_big_endian);
  if (!array)
    throw array_error(
        span,
        fmt::format("truncated: shape [{}] of {} needs more than the {} bytes there are",
                    fmt::join(header.info.shape, ", "),
                    c10::toString(header.info.dtype),
                    available));
  return std::move(*array);
}

/// What a span holds instead of an array, or nothing.
std::optional<PickledArrays> read_object(const Span& span) {
  const Header header = parse_header(span);
  if (!header.is_object) return std::nullopt;
  return read_pickled_arrays(span.file, span.begin + header.data_at, span.size - header.data_at);
}

Span whole(const std::shared_ptr<const MappedFile>& file) { return {file, 0, file->size(), ""}; }

}  // namespace

torch::Tensor read_npy(const std::filesystem::path& path) {
  return read_npy(MappedFile::open(path));
}

torch::Tensor read_npy(const std::shared_ptr<const MappedFile>& file) {
  return read_span(whole(file));
}

IntegerArray read_npy_integers(const std::shared_ptr<const MappedFile>& file) {
  IntegerArray array;
  array.bits = read_span(whole(file), &array.is_unsigned);
  return array;
}

torch::Tensor IntegerArray::wide() const {
  const auto numbers = bits.to(torch::kInt64);
  if (!is_unsigned) return numbers;
  const auto width = 8 * bits.element_size();
  return width < 64 ? numbers.bitwise_and((int64_t{1} << width) - 1) : numbers;
}

ArrayInfo read_npy_info(const std::filesystem::path& path) {
  return parse_array_header(whole(MappedFile::open(path))).info;
}

std::optional<PickledArrays> read_npy_object(const std::filesystem::path& path) {
  return read_object(whole(MappedFile::open(path)));
}

NpzFile::NpzFile(const std::filesystem::path& path) : NpzFile(MappedFile::open(path)) {}

NpzFile::NpzFile(std::shared_ptr<const MappedFile> file) : archive_(std::move(file)) {
  constexpr std::string_view suffix = ".npy";
  for (size_t i = 0; i < archive_.entries().size(); ++i) {
    const std::string entry(archive_.entries()[i].name);
    if (entry.size() <= suffix.size() ||
        entry.compare(entry.size() - suffix.size(), suffix.size(), suffix) != 0) {
      throw file_error(path(), fmt::format("not an .npz: its entry '{}' is not a .npy", entry));
    }
    entries_[entry.substr(0, entry.size() - suffix.size())] = i;
  }
}

std::vector<std::string> NpzFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, index] : entries_) names.push_back(name);
  return names;
}

size_t NpzFile::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw file_error(path(),
                     fmt::format("no array '{}'; it holds {}", name, fmt::join(names(), ", ")));
  }
  return found->second;
}

namespace {

constexpr size_t kLongestHeader = size_t{1} << 20;  // that of NumPy is 10,000 bytes

std::string label_of(const ZipReader& archive, size_t index) {
  return std::string(archive.entries()[index].name) + ": ";
}

/// The beginning of an entry, long enough for the header.
Span beginning_of(const ZipReader& archive, size_t index) {
  auto content =
      MappedFile::from_bytes(archive.read_beginning(index, kLongestHeader), archive.name());
  const size_t size = content->size();
  return {std::move(content), 0, size, label_of(archive, index)};
}

/// The whole entry, checked against its CRC. What is packed is unpacked only where its header and
/// its size agree.
Span whole_of(const ZipReader& archive, size_t index) {
  const auto& entry = archive.entries()[index];
  const auto label = label_of(archive, index);
  if (const auto at = archive.verified_at(index))
    return {archive.file(), *at, entry.size_bytes, label};
  const auto beginning = beginning_of(archive, index);
  const auto header = parse_array_header(beginning);
  const auto numel = checked_numel(header.info.shape);
  const uint64_t data_bytes =
      numel < 0 ? 0 : static_cast<uint64_t>(numel) * c10::elementSize(header.info.dtype);
  if (numel < 0 || header.data_at + data_bytes != entry.size_bytes)
    throw array_error(
        beginning,
        fmt::format(
            "{} bytes, its header wants {}", entry.size_bytes, header.data_at + data_bytes));
  auto content = MappedFile::from_bytes(archive.read(index, entry.size_bytes), archive.name());
  const size_t size = content->size();
  return {std::move(content), 0, size, label};
}

}  // namespace

torch::Tensor NpzFile::read(const std::string& name) const {
  return read_span(whole_of(archive_, entry(name)));
}

ArrayInfo NpzFile::info(const std::string& name) const {
  return parse_array_header(beginning_of(archive_, entry(name))).info;
}

std::optional<PickledArrays> NpzFile::read_object(const std::string& name) const {
  const auto index = entry(name);
  if (!parse_header(beginning_of(archive_, index)).is_object) return std::nullopt;
  const auto label = label_of(archive_, index);
  if (const auto at = archive_.verified_at(index))
    return formats::read_object(
        Span{archive_.file(), *at, archive_.entries()[index].size_bytes, label});
  constexpr uint64_t kLargest = uint64_t{1} << 30;  // to unpack; a stored one is read in place
  auto content = MappedFile::from_bytes(archive_.read(index, kLargest), archive_.name());
  const size_t size = content->size();
  return formats::read_object(Span{std::move(content), 0, size, label});
}

std::optional<ArrayInfo> NpzFile::known_info(const std::string& name) const {
  try {
    return info(name);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

std::map<std::string, torch::Tensor> read_npz(const std::filesystem::path& path) {
  return read_npz(MappedFile::open(path));
}

std::map<std::string, torch::Tensor> read_npz(const std::shared_ptr<const MappedFile>& file) {
  const NpzFile npz(file);
  std::map<std::string, torch::Tensor> arrays;
  for (const auto& name : npz.names()) arrays.emplace(name, npz.read(name));
  return arrays;
}

}  // namespace uvic::formats
