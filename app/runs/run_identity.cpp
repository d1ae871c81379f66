#include "app/runs/run_identity.h"

#include <fmt/format.h>

#include <charconv>
#include <random>
#include <sstream>
#include <stdexcept>

#include "data/formats/safetensors.h"

namespace uvic::app {
namespace {

std::optional<int64_t> parse_count(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

std::vector<std::string> RunIdentity::launches_until(int64_t images) const {
  std::vector<std::string> launches;
  for (size_t i = 0; i < lineage.size(); ++i) {
    const auto end = i + 1 < lineage.size() ? lineage[i + 1].from : images;
    if (lineage[i].from < std::min(images, end)) launches.push_back(lineage[i].launch);
  }
  return launches;
}

std::string random_id(int digits) {
  std::random_device device;
  std::string id;
  for (int i = 0; i < digits; ++i) id += "0123456789abcdef"[device() % 16];
  return id;
}

RunIdentity identity_of(const std::map<std::string, std::string>& metadata,
                        const std::string& name) {
  const auto value = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  RunIdentity identity;
  identity.run_id = value("uvic.run_id");
  identity.init = value("uvic.init");
  std::istringstream words(value("uvic.lineage"));
  for (std::string word; words >> word;) {
    const auto at = word.find('@');
    const auto from = at == std::string::npos ? std::nullopt : parse_count(word.substr(at + 1));
    if (!from)
      throw std::runtime_error(
          fmt::format("{}: its metadata uvic.lineage is damaged at \"{}\"", name, word));
    identity.lineage.push_back({word.substr(0, at), *from});
  }
  return identity;
}

void add_identity(const RunIdentity& identity, std::map<std::string, std::string>& metadata) {
  std::string lineage;
  for (const auto& [launch, from] : identity.lineage)
    lineage += fmt::format("{}{}@{}", lineage.empty() ? "" : " ", launch, from);
  for (const auto& [key, value] : {std::pair("uvic.run_id", identity.run_id),
                                   {"uvic.lineage", lineage},
                                   {"uvic.init", identity.init}})
    if (!value.empty()) metadata[key] = value;
}

std::map<std::string, std::string> read_metadata(const std::filesystem::path& path) {
  return formats::read_safetensors(path, formats::Checksum::kUnchecked).metadata;
}

std::optional<int64_t> count_in(const std::map<std::string, std::string>& metadata,
                                const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::nullopt : parse_count(found->second);
}

}  // namespace uvic::app
