#include "data/formats/json.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"

namespace uvic::formats {
namespace {

using nlohmann::json;

// nlohmann's own text is "[json.exception.parse_error.101] parse error at line 1, column 2: syntax
// error ...".
std::string reason(const json::exception& error) {
  const std::string text = error.what();
  const auto end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

/// Builds the value as the parser reports it. (The library's own callback parser walks the whole
/// parent at the end of each of its members, which takes quadratic time.)
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, const std::string& name, const JsonLimits& limits)
      : text_(text), name_(name), limits_(limits) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(json::value_t::object); }
  bool start_array(std::size_t) override { return open(json::value_t::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    auto& object = *open_.back();
    if (object.contains(key))
      throw file_error(name_,
                       fmt::format("JSON key {} occurs twice in one object", json(key).dump()));
    member_ = &object[std::move(key)];
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    throw file_error(name_, "not valid JSON" + foreign_text(text_) + ": " + reason(error));
  }

 private:
  bool add(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json::value_t kind) {
    if (open_.size() >= static_cast<size_t>(limits_.depth))
      throw file_error(name_, fmt::format("JSON nested deeper than {} levels", limits_.depth));
    open_.push_back(place(json(kind)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  // Pointers to what is open stay valid: while a value is open nothing is added to its parent.
  json* place(json value) {
    if (++values_ > limits_.values)
      throw file_error(name_, fmt::format("JSON of more than {} values", limits_.values));
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    return &(*member_ = std::move(value));
  }

  std::string_view text_;
  const std::string& name_;
  const JsonLimits& limits_;
  json root_;
  std::vector<json*> open_;  // from the outermost to the innermost
  json* member_ = nullptr;   // of the innermost object: the value of the key that was read last
  size_t values_ = 0;
};

}  // namespace

json parse_json(std::string_view text, const std::string& name, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    throw file_error(name,
                     fmt::format("JSON of {} bytes, the limit is {}", text.size(), limits.bytes));
  }
  Builder builder(text, name, limits);
  try {
    json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const json::exception& error) {
    throw file_error(name, "not valid JSON: " + reason(error));
  }
  return builder.take();
}

std::optional<json> try_parse_json(std::string_view text, JsonLimits limits) {
  try {
    return parse_json(text, "", limits);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

json read_json(const std::filesystem::path& path, JsonLimits limits) {
  return parse_json(read_file(path, limits.bytes), path.string(), limits);
}

std::string format_json(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

void write_json(const std::filesystem::path& path, const json& value) {
  write_file_atomically(path, format_json(value));
}

}  // namespace uvic::formats
