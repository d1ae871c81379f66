// Which options a training reads, and what is said of those that it does not.
#pragma once

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

/// What makes a training read an option.
struct Reader {
  std::string option;
  std::string value;  ///< empty: any but 0, false, none and ""
};

/// The words of Field::read_by() of the option. A word is a value of an option in the same section,
/// else the name of an option there, else the same of the section around it; "init mup" is a name
/// and a value, "dpm_solver*" is each value that begins so.
std::vector<Reader> readers_of(const std::string& option, const RunConfig& config);

/// For each of the options `given` that this training does not read: "optimizer.muon_lr is not read
/// in this training: it needs optimizer.kind muon, which is adamw".
std::vector<std::string> notes_of_unread(const RunConfig& config,
                                         const std::vector<std::string>& given);

}  // namespace uvic::app
