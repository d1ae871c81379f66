#include "app/training/run_metadata.h"

#include <nlohmann/json.hpp>

#include "app/options/options.h"

namespace uvic::app {
namespace {

// Names of files may be any bytes; metadata is UTF-8.
std::string dump_utf8(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}
std::string as_utf8(const std::string& text) {
  return nlohmann::json::parse(dump_utf8(text)).get<std::string>();
}

}  // namespace

std::map<std::string, std::string> run_metadata(const RunConfig& config,
                                                const data::Examples& dataset,
                                                const RunIdentity& identity) {
  std::map<std::string, std::string> metadata = {
      {"uvic.version", UVIC_VERSION},
      {"uvic.config", as_utf8(to_toml(config))},
      {"uvic.data", as_utf8(dataset.describe())},
      {"uvic.data_fingerprint", dataset.fingerprint()},
      {"uvic.class_names", dump_utf8(dataset.class_names())}};
  add_identity(identity, metadata);
  return metadata;
}

}  // namespace uvic::app
