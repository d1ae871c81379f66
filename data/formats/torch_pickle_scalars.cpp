#include "data/formats/torch_pickle_scalars.h"

#include <fmt/format.h>

#include "data/formats/little_endian.h"

namespace uvic::formats {

using Kind = PickleValue::Kind;

std::string type_name(const PickleValue* value) {
  switch (value->kind) {
    case Kind::kBytes:
      return "bytes";
    case Kind::kLong:
      return "int";
    case Kind::kGlobal:
      return fmt::format("{}.{}", value->module, value->text);
    case Kind::kCall: {
      const auto* callable = value->callable;
      for (int calls = 0; calls < 64 && callable->kind == Kind::kCall; ++calls)
        callable = callable->callable;
      if (callable->kind != Kind::kGlobal) return "object";
      // copyreg._reconstructor(class, object, None), of protocols without NEWOBJ
      const auto& given = value->argument->items;
      if (callable->module.substr(0, 4) == "copy" && !given.empty() &&
          given[0]->kind == Kind::kGlobal)
        return type_name(given[0]);
      return callable->text == "_reconstruct" ? "numpy.ndarray" : type_name(callable);
    }
    default:
      return "object";
  }
}

std::string latin1_bytes(std::string_view utf8) {
  std::string bytes;
  bytes.reserve(utf8.size());
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<uint8_t>(utf8[i]);
    const bool is_pair = lead >= 0xc0 && i + 1 < utf8.size();
    bytes += static_cast<char>(is_pair ? (lead & 3) << 6 | (utf8[++i] & 0x3f) : lead);
  }
  return bytes;
}

std::optional<PthScalar> numpy_scalar(const PickleValue* call) {
  const auto& arguments = call->argument->items;
  if (arguments.size() != 2 || !arguments[0]->is_call_of("numpy", "dtype") ||
      arguments[0]->argument->items.empty()) {
    return std::nullopt;
  }
  const auto* state = arguments[0]->state;
  if (state && state->items.size() > 1 && state->items[1]->text == ">") return std::nullopt;
  std::string bytes(arguments[1]->text.substr(0, 16));
  if (arguments[1]->is_call_of("_codecs", "encode") && !arguments[1]->argument->items.empty()) {
    bytes = latin1_bytes(arguments[1]->argument->items[0]->text.substr(0, 32));
  }
  const std::string_view dtype = arguments[0]->argument->items[0]->text;
  const auto is = [&](std::string_view code, size_t size) {
    return dtype == code && bytes.size() == size;
  };
  const char* data = bytes.data();
  if (is("f8", 8)) return load_little_endian<double>(data);
  if (is("f4", 4)) return double{load_little_endian<float>(data)};
  if (is("i8", 8)) return load_little_endian<int64_t>(data);
  if (is("i4", 4)) return int64_t{load_little_endian<int32_t>(data)};
  if (is("b1", 1)) return data[0] != 0;
  return std::nullopt;
}

std::string joined_path(const std::vector<PickleValue*>& parts) {
  std::string path;
  for (const auto* part : parts) {
    if (!path.empty() && path.back() != '/') path += '/';
    path += part->text.substr(0, 4096);
    if (path.size() > 4096) break;
  }
  return path;
}

}  // namespace uvic::formats
