// Fields of JSON objects that strangers may have written: absent, or of the type that is wanted.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace uvic::formats {

/// The value under `key`, or `otherwise` where `object` is no object, lacks it or has null there.
/// Each throws std::runtime_error that names `file`, the key and both types where it is of another
/// type: `FILE: "seeds": it is of type number, want a text`.
std::string text_field(const nlohmann::json& object,
                       const char* key,
                       const std::string& otherwise,
                       const std::string& file);
bool flag_field(const nlohmann::json& object,
                const char* key,
                bool otherwise,
                const std::string& file);
double number_field(const nlohmann::json& object,
                    const char* key,
                    double otherwise,
                    const std::string& file);
/// An integer within int64.
int64_t integer_field(const nlohmann::json& object,
                      const char* key,
                      int64_t otherwise,
                      const std::string& file);

/// A list of texts, or of integers within int64; empty where the field is absent.
std::vector<std::string> texts_field(const nlohmann::json& object,
                                     const char* key,
                                     const std::string& file);
std::vector<int64_t> integers_field(const nlohmann::json& object,
                                    const char* key,
                                    const std::string& file);

/// Throws std::runtime_error that names `file`, for an exception of nlohmann's library.
[[noreturn]] void refuse_json(const nlohmann::json::exception& error, const std::string& file);

/// What `read` returns, which reads values of `file` by nlohmann's functions. Where one is absent
/// or of another type, throws std::runtime_error that names the file.
template <class Read>
auto naming_file(const std::string& file, Read&& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    refuse_json(error, file);
  }
}

/// A JSON list of texts, as metadata hold it. Throws std::runtime_error naming `file` and `what`
/// where it is none.
std::vector<std::string> parse_texts(const std::string& text,
                                     const std::string& file,
                                     const std::string& what);

}  // namespace uvic::formats
