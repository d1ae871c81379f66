// Which options a training reads, and what is said of those that it does not.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/runs/run_config.h"

namespace uvic::app {

/// Why no training of a network of config.model.kind reads the option, whatever the others are;
/// empty: it is read.
std::string unread_reason(const std::string& option, const RunConfig& config);

/// Throws std::invalid_argument, for a network of sequences, that names the first option of images
/// with another value than its default. Takes what changes nothing: flip, workers,
/// dataset.memory_limit_mib, and sample.lower_order_final as records of earlier versions have it.
void refuse_options_of_images(const RunConfig& config);

/// An option as a struct with fields() has it.
struct KnownOption {
  std::string value, readers;
  std::vector<base::Choice> choices;
};
using KnownOptions = std::map<std::string, KnownOption>;

/// All options of a struct by their dotted names.
KnownOptions options_of(const std::vector<base::Leaf>& leaves);
template <class Config>
KnownOptions known_options(Config config) {
  return options_of(base::leaves_of(config));
}

/// What makes a command read an option.
struct Reader {
  std::string option;
  std::string value;  ///< empty: any but 0, false, none and ""
};

/// The words of Field::read_by() of the option. A word is a value of an option in the same section,
/// else the name of an option there, else the same of the section around it; "init mup" is a name
/// and a value, "dpm_solver*" is each value that begins so.
std::vector<Reader> readers_of(const std::string& option, const KnownOptions& known);

/// "it needs optimizer.kind muon, which is adamw": why an option is not read, by its read_by().
/// Empty: it is read.
std::string missing_reader(const std::string& option, const KnownOptions& known);

/// For each of the options `given` that this training does not read: "optimizer.muon_lr is not read
/// in this training: it needs optimizer.kind muon, which is adamw". Other names than a run's
/// options are passed over.
std::vector<std::string> notes_of_unread(const RunConfig& config,
                                         const std::vector<std::string>& given);

}  // namespace uvic::app
